/** Templates of MAC addresses: `00:16:3e:xx:xx:xx`. */

/** Something that answers a random whole number from 0 to 15. */
export type Nibble = () => number;

export function isHwaddrTemplate(value: string): boolean {
  return /x/i.test(value) && /^[0-9a-fx:]+$/i.test(value);
}

/** Every x replaced by a random digit. Where it decides, the first byte becomes a unicast address of local administration. */
export function expandHwaddr(template: string, nibble: Nibble): string {
  let out = "";
  for (const char of template) {
    if (char !== "x" && char !== "X") {
      out += char;
      continue;
    }
    const digit = nibble() & 0xf;
    out += (out.length === 1 ? (digit & 0xc) | 0x2 : digit).toString(16);
  }
  return out;
}

/** As lxc-copy and lxc-create make it: the start LXC has always used, the rest random. */
export const defaultHwaddrTemplate = "00:16:3e:xx:xx:xx";
