// Writes the reference pages, man pages and completions that are made from the tables the code uses. Needs a build.
//
//   node scripts/docs.mjs           write them
//   node scripts/docs.mjs --check   say which are out of date, exit status 1 if any
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { filesBelow, main, root } from "./lib/common.mjs";

const compiled = (path, folder = "src") => import(join(root, "dist", folder, path));

async function errorsPage() {
  const { errorCodes } = await compiled("base/errors.js");
  return [
    "# Error codes",
    "",
    "<!-- Made by `node scripts/docs.mjs` from src/base/errors.ts; change it there. -->",
    "",
    "Every error that islet reports has one of these codes: `IsletError.code` in the library, and the base on which a front end",
    "chooses its own numbers and texts. The codes are stable: none is renamed, none changes its meaning. New ones may be added.",
    "",
    "| code | meaning |",
    "|---|---|",
    ...Object.entries(errorCodes).map(([code, meaning]) => `| \`${code}\` | ${meaning} |`),
    "",
    "Beside the code an error can carry: `at` (file and line of the setting it comes from), `hint` (what to do), `errno` and",
    "`syscall` (when the kernel refused), `faults` (all that is wrong with a document, each with its place) and `cause`.",
    "",
    "The `lxc-*` commands print the error as LXC prints its own and exit with LXC's status for the case: 1 nearly always, 2 for",
    "`lxc-stop` on a container that does not run.",
    "",
  ].join("\n");
}

/** In these folders nothing is written by hand but `handWritten`: what no table makes any more is out of date as well. */
const generatedFolders = [
  "docs/reference/commands",
  "share/bash-completion/completions",
  "share/man/man1",
  "share/man/man5",
];
const handWritten = ["share/bash-completion/completions/_islet", "share/man/man5/islet-libvirt.conf.5"];

/** Written by hand but for one table. */
const libvirtCompat = "docs/compat/libvirt.md";

/** Path and text of every generated page. */
async function pages() {
  const { commandPages, completionFiles, manPages } = await compiled("frontends/lxc/commands/pages.js");
  const { isletVersion } = await compiled("frontends/lxc/commands/options.js");
  const { configPage } = await compiled("frontends/lxc/config/page.js");
  const { configManPage } = await compiled("frontends/lxc/config/man.js");
  const { compatPage } = await compiled("peers/compat-page.js", "test");
  const { libvirtPage } = await compiled("peers/libvirt-page.js", "test");
  return [
    { path: "docs/compat/lxc.md", text: compatPage() },
    { path: libvirtCompat, text: libvirtPage(readFileSync(join(root, libvirtCompat), "utf8")) },
    { path: "docs/reference/errors.md", text: await errorsPage() },
    { path: "docs/reference/lxc-config.md", text: configPage() },
    ...commandPages(),
    ...manPages(),
    ...completionFiles(),
    { path: "share/man/man5/lxc.container.conf.5", text: configManPage(`islet ${isletVersion}`) },
  ];
}

const leftOver = (wanted) =>
  generatedFolders
    .filter((folder) => existsSync(join(root, folder)))
    .flatMap((folder) => filesBelow(folder))
    .filter((path) => !handWritten.includes(path) && !wanted.some((each) => each.path === path));

/** The pages that differ from what the tables say now. */
export async function stalePages() {
  const wanted = await pages();
  const changed = wanted.filter(
    ({ path, text }) => !existsSync(join(root, path)) || readFileSync(join(root, path), "utf8") !== text,
  );
  return [...changed.map(({ path }) => path), ...leftOver(wanted)];
}

if (process.argv[1] === import.meta.filename) {
  await main(async () => {
    if (process.argv.includes("--check")) {
      const stale = await stalePages();
      for (const path of stale) console.log(`${path} is out of date; run: node scripts/docs.mjs`);
      return stale.length === 0 ? 0 : 1;
    }
    const wanted = await pages();
    for (const { path, text } of wanted) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    for (const path of leftOver(wanted)) rmSync(join(root, path));
    return 0;
  });
}
