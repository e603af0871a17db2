import { createHash } from "node:crypto";

/**
 * As much of OpenPGP (RFC 9580) as it takes to hand the right bytes to a program that verifies signatures: armor, the keys in a file, and the
 * two parts of a text that is signed within itself. Nothing is verified here.
 */

export interface PublicKey {
  /** In capital hexadecimal. */
  readonly fingerprint: string;
  /** The key with its identities and subkeys. */
  readonly bytes: Uint8Array;
}

const publicKeyTag = 6;

/** Armored blocks as bytes, one after another; what is not armored as it is. */
export function dearmor(bytes: Uint8Array): Uint8Array {
  const text = Buffer.from(bytes).toString("latin1");
  if (!/^\s*-----BEGIN PGP /.test(text)) return bytes;
  const blocks = text.matchAll(
    /-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n([\s\S]*?)-----END PGP PUBLIC KEY BLOCK-----/g,
  );
  return Buffer.concat(
    [...blocks].map(([, inner = ""]) => {
      // Headers end with an empty line; a line that begins with "=" is the checksum.
      const headers = /^(?:[^\n:]+: [^\n]*\n)*[ \t]*\r?\n/.exec(inner)?.[0].length ?? 0;
      const body = inner
        .slice(headers)
        .split("\n")
        .filter((line) => !line.startsWith("="));
      return Buffer.from(body.join(""), "base64");
    }),
  );
}

/** The keys of a keyring; [] when it is none (a keybox, for one). */
export function keysOf(keyring: Uint8Array): readonly PublicKey[] {
  const bytes = dearmor(keyring);
  const keys: { fingerprint: string; start: number; end: number }[] = [];
  let at = 0;
  while (at < bytes.length) {
    const packet = packetAt(bytes, at);
    if (packet === null) return [];
    if (packet.tag === publicKeyTag) {
      const fingerprint = fingerprintOf(bytes.subarray(packet.body, packet.end));
      if (fingerprint === null) return [];
      keys.push({ fingerprint, start: at, end: packet.end });
    }
    const last = keys.at(-1);
    if (last === undefined) return [];
    last.end = packet.end;
    at = packet.end;
  }
  return keys.map(({ fingerprint, start, end }) => ({ fingerprint, bytes: bytes.subarray(start, end) }));
}

/** null: it is broken, or of unknown length, which a key never is. */
function packetAt(
  bytes: Uint8Array,
  at: number,
): { readonly tag: number; readonly body: number; readonly end: number } | null {
  const first = bytes[at] ?? 0;
  if ((first & 0x80) === 0) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const octet = bytes[at + 1] ?? 0;
  const isNew = (first & 0x40) !== 0;
  const tag = isNew ? first & 0x3f : (first >> 2) & 0x0f;
  let sized: readonly [header: number, length: number] | null = null;
  if (isNew) {
    if (octet < 192) sized = [2, octet];
    else if (octet < 224) sized = [3, ((octet - 192) << 8) + (bytes[at + 2] ?? 0) + 192];
    else if (octet === 255 && at + 6 <= bytes.length) sized = [6, view.getUint32(at + 2)];
  } else {
    const kind = first & 3;
    if (kind === 0) sized = [2, octet];
    else if (kind === 1 && at + 3 <= bytes.length) sized = [3, view.getUint16(at + 1)];
    else if (kind === 2 && at + 5 <= bytes.length) sized = [5, view.getUint32(at + 1)];
  }
  if (sized === null) return null;
  const [header, length] = sized;
  const end = at + header + length;
  return end > bytes.length ? null : { tag, body: at + header, end };
}

function fingerprintOf(body: Uint8Array): string | null {
  const size = Buffer.alloc(4);
  size.writeUInt32BE(body.length);
  switch (body[0]) {
    case 4:
      return createHash("sha1")
        .update(Buffer.from([0x99]))
        .update(size.subarray(2))
        .update(body)
        .digest("hex")
        .toUpperCase();
    case 5:
    case 6: {
      const mark = body[0] === 5 ? 0x9a : 0x9b;
      return createHash("sha256")
        .update(Buffer.from([mark]))
        .update(size)
        .update(body)
        .digest("hex")
        .toUpperCase();
    }
    default:
      return null;
  }
}

export interface Clearsigned {
  /** What was signed, with the line ends that it was signed with. */
  readonly signed: Uint8Array;
  /** Armored. */
  readonly signature: Uint8Array;
}

const messageLine = "-----BEGIN PGP SIGNED MESSAGE-----";
const signatureLine = "\n-----BEGIN PGP SIGNATURE-----";
const endLine = "\n-----END PGP SIGNATURE-----";

/**
 * The two parts of a text in the cleartext signature framework; null: it is none, or there is something beside it. By hand, since a pattern would
 * take for ever over what somebody makes for that: nothing has been verified yet.
 */
export function splitClearsigned(bytes: Uint8Array): Clearsigned | null {
  const text = Buffer.from(bytes).toString("utf8");
  const begin = text.lastIndexOf(signatureLine);
  const end = text.lastIndexOf(endLine);
  if (!text.startsWith(messageLine) || begin < 0 || end < begin || text.slice(end + endLine.length).trim() !== "")
    return null;
  const lines = text
    .slice(0, begin)
    .split("\n")
    .map((line) => withoutBlanksBehind(line));
  const empty = lines.indexOf("");
  const headers = lines.slice(1, empty);
  if (lines[0] !== messageLine || empty < 0 || !headers.every((line) => line.startsWith("Hash: "))) return null;
  const signed = lines.slice(empty + 1).map((line) => (line.startsWith("- ") ? line.slice(2) : line));
  return {
    signed: Buffer.from(signed.join("\r\n")),
    signature: Buffer.from(`${text.slice(begin + 1, end + endLine.length)}\n`),
  };
}

function withoutBlanksBehind(line: string): string {
  let end = line.length;
  while (end > 0 && " \t\r".includes(line.charAt(end - 1))) end -= 1;
  return line.slice(0, end);
}
