/** lxc.container.conf(5), rendered from the key table as docs/reference/lxc-config.md is. */
import { bold, escape, fromMarkdown, heading, inline, line, page, tagged, title } from "../roff.js";
import { legacyNames, legacyNicNames } from "./legacy.js";
import { differences, intro, numberedRows, usedKinds } from "./page.js";
import type { KeyRow } from "./row.js";
import { chapters, includeRow } from "./table.js";

const released = (since: string, gone: string | undefined): string =>
  `since ${since}${gone === undefined ? "" : `, not in ${gone}`}`;

const rowLines = (row: KeyRow): readonly string[] =>
  tagged(
    line(bold(`${row.key}${row.rest ?? ""}`), escape(` (${row.kind}; ${released(row.since, row.gone)})`)),
    inline(row.doc),
  );

const oldName = (old: string, text: string): readonly string[] => tagged(bold(old), text);

/** The whole page. `release`: the left of its foot. */
export function configManPage(release: string): string {
  return page("the key table in src/frontends/lxc/config", [
    title("lxc.container.conf", 5, release),
    heading("Name"),
    "lxc.container.conf \\- configuration of a container",
    heading("Description"),
    ...fromMarkdown(intro),
    heading("Kinds of values"),
    ...usedKinds().flatMap(([kind, text]) => tagged(bold(kind), inline(text))),
    heading("Including other files"),
    ...rowLines(includeRow),
    ...chapters.flatMap((chapter) => [heading(chapter.title), ...chapter.rows.flatMap(rowLines)]),
    heading("Keys of a network device"),
    inline("N is the number of the device. `type` comes before keys that only some types have."),
    ...numberedRows.flatMap(([key, row]) =>
      tagged(
        line(
          bold(key),
          escape(
            ` (${row.kind}; ${row.types === null ? "" : `${row.types.join(", ")}; `}${released(row.since, undefined)})`,
          ),
        ),
        inline(row.doc),
      ),
    ),
    ...fromMarkdown(differences),
    heading("Old names"),
    ...Object.entries(legacyNames).flatMap(([old, name]) =>
      oldName(old, name === null ? "Without effect." : bold(name)),
    ),
    ...oldName("lxc.rootfs.backend", inline("`TYPE:` in front of the path in `lxc.rootfs.path`.")),
    ...oldName("lxc.limit.NAME", bold("lxc.prlimit.NAME")),
    ...oldName("lxc.network.type", inline("`lxc.net.N.type`; each one opens a new device.")),
    ...oldName("lxc.network.KEY", inline("`lxc.net.N.KEY` of the device opened last.")),
    ...oldName("lxc.network.N.KEY", bold("lxc.net.N.KEY")),
    ...Object.entries(legacyNicNames).flatMap(([old, name]) =>
      oldName(`lxc.network.${old}`, bold(`lxc.net.N.${name}`)),
    ),
    heading("See also"),
    `${bold("islet")}(1)`,
  ]);
}
