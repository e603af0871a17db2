/** Text of others (names of processes, output of programs that show them) without what a terminal would obey: C0 but line ends and tabs, DEL, C1. */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are just what is removed
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "");
}
