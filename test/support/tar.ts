/** Archives made byte by byte, as no tar program would make them. */

export interface Member {
  readonly name: string;
  /** "0" a file (the default), "1" a hard link, "2" a link, "3" and "4" devices, "5" a directory, "6" a fifo. */
  readonly type?: string;
  readonly linkname?: string;
  readonly data?: string | Uint8Array;
  /** What the header says; default: what there is. */
  readonly size?: number;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number;
  readonly major?: number;
  readonly minor?: number;
  readonly magic?: string;
  /** "path=..." and the like, in an extended header in front. */
  readonly records?: readonly string[];
  /** Added to the sum. */
  readonly wrongBy?: number;
}

const octal = (value: number, length: number): string => `${value.toString(8).padStart(length - 1, "0")}\0`;

export function member(wanted: Member): Buffer {
  const data = Buffer.from(wanted.data ?? "");
  const block = Buffer.alloc(512);
  block.write(wanted.name, 0, 100, "latin1");
  block.write(octal(wanted.mode ?? (wanted.type === "5" ? 0o755 : 0o644), 8), 100);
  block.write(octal(wanted.uid ?? 0, 8), 108);
  block.write(octal(wanted.gid ?? 0, 8), 116);
  block.write(octal(wanted.size ?? data.length, 12), 124);
  block.write(octal(wanted.mtime ?? 1_700_000_000, 12), 136);
  block.write("        ", 148);
  block.write(wanted.type ?? "0", 156);
  block.write(wanted.linkname ?? "", 157, 100, "latin1");
  block.write(wanted.magic ?? "ustar\u000000", 257, "latin1");
  block.write(octal(wanted.major ?? 0, 8), 329);
  block.write(octal(wanted.minor ?? 0, 8), 337);
  const sum = block.reduce((total, byte) => total + byte, wanted.wrongBy ?? 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  const padding = Buffer.alloc((512 - (data.length % 512)) % 512);
  const own = Buffer.concat([block, data, padding]);
  if (wanted.records === undefined) return own;
  return Buffer.concat([member({ name: "x", type: "x", data: wanted.records.map(record).join("") }), own]);
}

function record(text: string): string {
  for (let length = text.length + 3; ; length += 1) {
    const whole = `${length} ${text}\n`;
    if (Buffer.byteLength(whole) === length) return whole;
  }
}

export const endOfArchive: Buffer = Buffer.alloc(1024);

export function archive(...members: readonly (Member | Uint8Array)[]): Buffer {
  return Buffer.concat([...members.map((each) => (each instanceof Uint8Array ? each : member(each))), endOfArchive]);
}
