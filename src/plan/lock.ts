/** LXC keeps two bytes of sun_path (unix(7)) for NULs beside the leading one, although abstract names need none. */
const longest = 105;

/**
 * LXC's command socket of a container: `STOREPATH/NAME/command`, or `lxc/HASH/command` where that is too long (FNV-1a of
 * `STOREPATH/NAME`). Tools that scan /proc/net/unix find running containers by it.
 */
export function lockName(storePath: string, name: string): string {
  const whole = `${storePath}/${name}/command`;
  if (new TextEncoder().encode(whole).length <= longest) return whole;
  return `lxc/${fnv1a64(`${storePath}/${name}`).toString(16).padStart(16, "0")}/command`;
}

function fnv1a64(text: string): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash;
}

/**
 * What LXC's tools are answered, whatever they ask: `struct lxc_cmd_rsp` of LXC's commands.h with an error and no data. They end at once then and
 * touch nothing. Without an answer they would wait for ever, and a refused connection tells lxc-destroy that the container is stopped.
 */
export function lockRefusal(): Uint8Array {
  const bytes = new Uint8Array(16);
  new DataView(bytes.buffer).setInt32(0, -95 /* EOPNOTSUPP */, true);
  return bytes;
}
