/** os-release(5): NAME=value lines, values quoted as in a shell where need be. What is no such line is passed over. */
export function parseOsRelease(text: string): ReadonlyMap<string, string> {
  const out = new Map<string, string>();
  for (const line of text.split("\n")) {
    const match = /^([A-Z][A-Z0-9_]*)=(.*)$/.exec(line.trim());
    if (match?.[1] === undefined) continue;
    const value = unquote(match[2] ?? "");
    // Control characters have no business in an environment.
    if (value !== null && !hasControls(value)) out.set(match[1], value);
  }
  return out;
}

function unquote(text: string): string | null {
  const single = /^'([^']*)'$/.exec(text);
  if (single !== null) return single[1] ?? "";
  const double = /^"((?:[^"\\]|\\.)*)"$/.exec(text);
  if (double !== null) return (double[1] ?? "").replace(/\\(["$`\\])/g, "$1");
  return /["'\s]/.test(text) ? null : text;
}

function hasControls(text: string): boolean {
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code < 0x20 || code === 0x7f) return true;
  }
  return false;
}
