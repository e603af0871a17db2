/** Names of a bridge's containers in the host's own hosts(5), between two lines that say whose they are. */

export interface HostEntry {
  readonly address: string;
  readonly name: string;
}

const beginOf = (bridge: string): string => `# islet: containers on ${bridge}`;
const endOf = (bridge: string): string => `# islet: end of ${bridge}`;

/**
 * The text with these entries instead of the bridge's former ones; without any if there are none. A name that the rest of the file has
 * already stays what it is there. Both lines of a block must be there for it to be one.
 */
export function withHostEntries(
  text: string,
  bridge: string,
  domain: string | null,
  entries: readonly HostEntry[],
): string {
  const lines = text.split("\n");
  const begin = lines.indexOf(beginOf(bridge));
  const end = begin < 0 ? -1 : lines.indexOf(endOf(bridge), begin);
  const [before, after] =
    end < 0
      ? [text === "" || text.endsWith("\n") ? text : `${text}\n`, ""]
      : [joined(lines.slice(0, begin)), lines.slice(end + 1).join("\n")];
  const taken = new Set(namesIn(`${before}\n${after}`));
  const block = entries.flatMap(({ address, name }) => {
    const names = [...(domain === null ? [] : [`${name}.${domain}`]), name].filter((each) => !taken.has(each));
    return names.length === 0 ? [] : [`${address}\t${names.join(" ")}`];
  });
  if (block.length === 0) return end < 0 ? text : before + after;
  return before + joined([beginOf(bridge), ...block, endOf(bridge)]) + after;
}

const joined = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join("");

function namesIn(text: string): readonly string[] {
  return text.split("\n").flatMap((line) =>
    line
      .replace(/#.*/, "")
      .trim()
      .split(/\s+/)
      .slice(1)
      .map((name) => name.toLowerCase()),
  );
}
