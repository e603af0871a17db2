import { unsupported } from "./faults.js";

/** A line of an LXC configuration that is to be written; with the key `#` a comment. */
export type NativeLine = readonly [key: string, value: string];

/** As a file that LXC reads back: blanks at the ends and quotes around are kept by quotes around them. Throws 67 for what no line can hold. */
export function writeNative(lines: readonly NativeLine[]): string {
  return lines
    .map(([key, value]) => {
      // oxlint-disable-next-line no-control-regex -- control characters are just what no line can hold
      if (/[\u0000-\u0008\u000a-\u001f\u007f]/.test(value))
        throw unsupported(`${key} cannot have control characters: ${JSON.stringify(value)}`);
      if (key === "#") return `# ${value}\n`;
      const isFramed = value !== value.trim() || /^(["']).*\1$/.test(value);
      return `${key} = ${isFramed ? `"${value}"` : value}\n`;
    })
    .join("");
}

/** A path as a word of lxc.mount.entry, where getmntent(3) decodes it. */
export const mountWord = (path: string): string =>
  path.replace(/[ \t\n\\]/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, "0")}`);
