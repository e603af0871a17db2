import type { Driver } from "../../src/frontends/libvirt/driver/driver.js";
import { libvirtHandlers } from "../../src/frontends/libvirt/index.js";
import { apiName } from "../../src/frontends/libvirt/rpc/names.js";
import { findProcedure, programs } from "../../src/frontends/libvirt/rpc/procedures.js";
import { ownHandler } from "../../src/frontends/libvirt/rpc/session.js";

/** The table of procedures in docs/compat/libvirt.md, from the tables by which they are answered. */

/** Whatever is asked of it is itself: handlers are made with it for their names alone. */
const nobody: unknown = new Proxy(() => nobody, { get: () => nobody, apply: () => nobody });

const begin = "<!-- Made by `node scripts/docs.mjs` from the tables of src/frontends/libvirt/rpc; change it there. -->";
const end = "<!-- Until here. -->";
const lastNumber = 1000;

interface Row {
  readonly number: number;
  readonly api: string;
  readonly by: "answered" | "answered by the connection" | "refused";
  readonly readOnly: boolean;
}

function rows(): readonly Row[] {
  const identity = { arch: "x86_64", uuid: "", hostname: "", kernel: "", emulator: "", pageSize: 4096 } as const;
  const answered = new Set(Object.keys(libvirtHandlers(nobody as Driver, identity)));
  const out: Row[] = [];
  for (let number = 1; number < lastNumber; number += 1) {
    const api = apiName(number);
    const row = findProcedure(programs.remote, number);
    if (api === null && row === null) continue;
    const by =
      row === null
        ? "refused"
        : ownHandler(row.name) !== null
          ? "answered by the connection"
          : answered.has(row.name)
            ? "answered"
            : "refused";
    out.push({ number, api: api ?? row?.name ?? "", by, readOnly: row?.changes !== true });
  }
  return out;
}

/** The page with its table as it is now. */
export function libvirtPage(page: string): string {
  const [before, rest] = page.split(begin);
  const after = rest?.split(end)[1];
  if (before === undefined || after === undefined)
    throw new Error("docs/compat/libvirt.md has no place for the table of procedures");
  const all = rows();
  const has = all.filter(({ by }) => by !== "refused");
  const table = [
    `${has.length} of ${all.length} procedures are answered.`,
    "",
    "| number | API | | read-only connections |",
    "|---|---|---|---|",
    ...has.map(({ number, api, by, readOnly }) => `| ${number} | ${api} | ${by} | ${readOnly ? "yes" : "refused"} |`),
    "| lxc 1 | virDomainLxcOpenNamespace | answered | refused |",
    "",
    "Refused with code 3:",
    all
      .filter(({ by }) => by === "refused")
      .map(({ number, api }) => `${api} (${number})`)
      .join(", "),
  ];
  return `${before}${begin}\n\n${table.join("\n")}\n\n${end}${after}`;
}
