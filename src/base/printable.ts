/**
 * A line of others' text (names, output of programs, last words of hooks) without what a terminal would obey or a line would end
 * at: control characters but tabs, C0, DEL and C1.
 */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are just what is removed
  return text.replace(/[\u0000-\u0008\u000a-\u001f\u007f-\u009f]/g, "");
}
