/** docs/reference/lxc-config.md, rendered from the key table. A test compares the file; UPDATE=1 rewrites it. */
import { isletNicRows } from "./keys-islet-net.js";
import { type NicRow, nicRows } from "./keys-net.js";
import { legacyNames, legacyNicNames } from "./legacy.js";
import type { KeyKind, KeyRow } from "./row.js";
import { chapters, includeRow } from "./table.js";

const kinds: Readonly<Record<KeyKind, string>> = {
  text: "any text",
  path: "path; `//` and `/./` are collapsed",
  number: "whole number, written in decimal, 0x hexadecimal, 0 octal",
  flag: "0 or 1",
  signal: "number, or a name with its prefix: SIGPWR, SIGRTMIN+3",
  size: "bytes; see the key",
  time: "number with a unit",
  words: "words; each line adds to the list",
  lines: "one value per line; each line adds to the list",
  family: "any number of keys of this form",
  group: "cannot be set, only cleared",
};

export const intro: string = `# Configuration keys

<!-- Made from the key table in src/frontends/lxc/config. Change the table, then run the tests with UPDATE=1. -->

A container's configuration is the file \`config\` in its directory, in the form of lxc.container.conf(5). islet reads the keys of every LXC release from
0.7 to 7.0; the release that has a key first, and the one that dropped it, stand in the tables.

## The file

- A line is \`key = value\`. Lines end at a line feed or a carriage return. There are no continued lines.
- \`#\` as the first character of a line makes it a comment; behind a value it is part of the value.
- Lines that begin with neither \`lxc.\` nor \`islet.\` are ignored. LXC's own tools ignore the lines with \`islet.\`, too.
- Blanks around key and value are dropped, and then one pair of quotes around the value.
- The last line of a key with a single value wins; lines of a list add up.
- \`key =\` puts the default back, and empties a list.
- An unknown key or a bad value makes the whole file unusable. All such lines are reported, each with file and line.
- Names of older releases are understood and reported once per line with their present name.
`;

export const differences: string = `## Where islet differs from LXC

- Old names (see below) are taken in any mixture with present ones; LXC 3.0 and later refuse them. \`lxc.cgroup.*\` is taken although LXC 7.0 refuses it.
- \`lxc.mount.fstab =\` clears, where LXC calls it an error.
- \`*.conf\` files of an included directory are read in the order of their names. Files that include each other are reported; they exhaust LXC's stack.
- Keys of a nic that stand before its first \`lxc.net.N.type\` are kept; LXC drops them silently. A second type for the same nic starts it anew, as in LXC.
- \`lxc.rootfs.path = /a:b\` is the directory /a:b. LXC takes "/a" for a type and cannot start.
- \`lxc.idmap = b ...\` maps users and groups alike.
- Capability names are taken in any case and with \`cap_\` in front.
- An \`lxc.environment = NAME\` whose variable is missing fails the start, not the reading of the file: the container can still be listed and stopped.
- \`lxc.mount.auto\` is read back with \`:force\`, which LXC 5 leaves out together with the word before it.
- \`lxc.cap.drop\` and \`lxc.cap.keep\` are read back each by itself; LXC 5 shows the list of the one for the other too.
- \`lxc.rootfs.mount\` is read back as empty where it is not set; LXC shows a directory of its build, which islet does not use.
- IPv4 addresses without a prefix get the one of their class: 8, 16 or 24 (LXC 5.0.2 gives 8 to all).
- No \`lxc.net\` at all means an empty network namespace, as since LXC 1.0. That holds for files with old names too, although LXC 0.7 and 0.9 shared the
  host's network then: write \`lxc.net.0.type = none\` for that.
- \`lxc.keyring.session\`: as in LXC's code 1 means no new session keyring; LXC's manual has it the other way round. 0 is reported, since it changes nothing.
- In \`lxc.sysctl.KEY\` a slash may separate instead of the dot, as in sysctl(8): \`lxc.sysctl.net/ipv4/conf/eth0.100/forwarding\`.
`;

function escape(text: string): string {
  return text.replace(/\|/g, "\\|").replace(/</g, "&lt;");
}

function line(key: string, kind: KeyKind, since: string, gone: string | undefined, doc: string): string {
  return `| \`${key}\` | ${kind} | ${since}${gone === undefined ? "" : `, not in ${gone}`} | ${escape(doc)} |`;
}

const head = "| key | kind | since | |\n|---|---|---|---|";

function rowLine(row: KeyRow): string {
  return line(`${row.key}${row.rest ?? ""}`, row.kind, row.since, row.gone, row.doc);
}

/** Keys of a network device, LXC's and islet's own. */
export const numberedRows: readonly (readonly [key: string, row: NicRow])[] = [
  ...nicRows.map((row) => [`lxc.net.N.${row.sub}`, row] as const),
  ...isletNicRows.map((row) => [`islet.net.N.${row.sub}`, row] as const),
];

/** Kinds that a key has, each with its meaning. */
export function usedKinds(): readonly (readonly [kind: string, text: string])[] {
  const used = new Set<KeyKind>([
    ...chapters.flatMap(({ rows }) => rows.map((row) => row.kind)),
    ...numberedRows.map(([, row]) => row.kind),
    includeRow.kind,
  ]);
  return Object.entries(kinds).filter(([kind]) => used.has(kind as KeyKind));
}

/** The whole page. */
export function configPage(): string {
  const parts = [
    intro,
    "## Kinds of values\n",
    ...usedKinds().map(([kind, text]) => `- ${kind}: ${text}`),
    "",
    "## Including other files\n",
    head,
    rowLine(includeRow),
    "",
  ];
  for (const { title, rows } of chapters) parts.push(`## ${title}\n`, head, ...rows.map(rowLine), "");
  parts.push(
    "## Keys of a network device\n",
    "N is the number of the device. `type` comes before keys that only some types have.\n",
    "| key | kind | since | types | |\n|---|---|---|---|---|",
    ...numberedRows.map(
      ([key, row]) =>
        `| \`${key}\` | ${row.kind} | ${row.since} | ${row.types?.join(", ") ?? "all"} | ${escape(row.doc)} |`,
    ),
    "",
    differences,
    "## Old names\n",
    "| old | present |\n|---|---|",
    ...Object.entries(legacyNames).map(
      ([old, name]) => `| \`${old}\` | ${name === null ? "without effect" : `\`${name}\``} |`,
    ),
    "| `lxc.rootfs.backend` | `TYPE:` in front of the path in `lxc.rootfs.path` |",
    "| `lxc.limit.NAME` | `lxc.prlimit.NAME` |",
    "| `lxc.network.type` | `lxc.net.N.type`; each one opens a new device |",
    "| `lxc.network.KEY` | `lxc.net.N.KEY` of the device opened last |",
    "| `lxc.network.N.KEY` | `lxc.net.N.KEY` |",
    ...Object.entries(legacyNicNames).map(([old, name]) => `| \`lxc.network.${old}\` | \`lxc.net.N.${name}\` |`),
    "",
  );
  return parts.join("\n");
}
