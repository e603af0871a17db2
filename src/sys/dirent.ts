import { fromCString, view } from "./bytes.js";

/** Names in what getdents64(2) gave, without "." and "..". */
export function direntNames(bytes: Uint8Array): readonly string[] {
  const names: string[] = [];
  const fields = view(bytes);
  // linux_dirent64: u64 d_ino, s64 d_off, u16 d_reclen, u8 d_type, the name and a NUL.
  for (let at = 0; at + 19 < bytes.length;) {
    const length = fields.getUint16(at + 16, true);
    if (length < 20 || at + length > bytes.length) break;
    const name = fromCString(bytes.subarray(at + 19, at + length));
    if (name !== "." && name !== "..") names.push(name);
    at += length;
  }
  return names;
}
