import { type Case, cases } from "./case.js";

/** The tools that work on one named container, with what else they need to get as far as looking for it. */
const named: Readonly<Record<string, string>> = {
  "lxc-attach": " -- true",
  "lxc-cgroup": " cpu.shares",
  "lxc-console": "",
  "lxc-copy": " -N islt-copy",
  "lxc-create": " -t none",
  "lxc-destroy": "",
  "lxc-device": " -- add /dev/null",
  "lxc-execute": " -- true",
  "lxc-freeze": "",
  "lxc-info": "",
  "lxc-snapshot": " -L",
  "lxc-start": "",
  "lxc-stop": " -k",
  "lxc-unfreeze": "",
  "lxc-wait": " -s STOPPED -t 1",
};
/** Those that do not. */
const others: Readonly<Record<string, string>> = {
  "lxc-autostart": "",
  "lxc-ls": "",
  "lxc-monitor": " -Q",
  "lxc-top": "",
  "lxc-unshare": " -s IPC -- true",
};

const files = {
  "bad.conf": "lxc.uts.name = x\nlxc.bogus = 1\n",
  "good.conf": "lxc.rootfs.path = dir:/proc/nowhere\n",
};
const broken = { "islt-bad": "@base\nlxc.bogus = 1\n" };

/** A command line for a tool, and which known differences (with blanks between) show in it: for these tools, or for all others (*). */
interface Variant {
  readonly words: string;
  readonly differs?: Readonly<Record<string, string>>;
  readonly rest?: Omit<Case, "run">;
}

const everywhere: readonly Variant[] = [
  ...["--help", "-h", "-?"].map((words) => ({ words, differs: { "*": "help" } })),
  ...["--bogus", "-Z", "-P", "--quiet=1"].map((words) => ({ words, differs: { "*": "help" } })),
  {
    words: "--usage",
    differs: {
      copy: "own-options",
      create: "own-options",
      info: "own-options",
      ls: "own-options",
      snapshot: "own-options",
      autostart: "own-options",
      top: "own-options",
    },
  },
  { words: "--version" },
  // A second -P, since there is one already.
  { words: "-P /proc/nowhere%", differs: { monitor: "monitor-quit" } },
];

const withName: readonly Variant[] = [
  { words: "%" },
  { words: '-n ""%', differs: { "*": "bad-name" } },
  { words: "-n a/b%", differs: { "*": "bad-name" } },
  { words: "-n", differs: { "*": "help" } },
  ...["-n islt-none%", "islt-none%"].map((words) => ({
    words,
    differs: {
      attach: "says-why",
      copy: "says-why",
      freeze: "says-why",
      snapshot: "says-why",
      unfreeze: "says-why",
    },
  })),
  { words: "-n islt-none -q%" },
  { words: "-n islt-none -o /proc/nowhere/log%" },
  {
    words: "-n islt-none -l LOUD%",
    differs: { "*": "log-file", copy: "log-file own-words", snapshot: "log-file own-words" },
  },
  {
    words: "-n islt-bad%",
    differs: { "*": "broken-config", execute: "says-why", start: "says-why", info: "says-why" },
    rest: { containers: broken },
  },
  {
    words: "-q -n islt-bad%",
    differs: { "*": "broken-config", execute: "", start: "", info: "" },
    rest: { containers: broken },
  },
  {
    words: "-n islt-web --rcfile=missing.conf%",
    differs: { copy: "says-why", info: "says-why", snapshot: "says-why" },
    rest: { files },
  },
  { words: "-n islt-web --rcfile bad.conf%", differs: { "*": "says-why", create: "" }, rest: { files } },
  { words: "-n islt-web --rcfile=.%", differs: { "*": "rcfile-directory", create: "" }, rest: { files } },
  {
    words: "-n islt-none --rcfile=good.conf%",
    differs: {
      attach: "says-why",
      start: "says-why",
      freeze: "own-words",
      execute: "own-words",
      destroy: "destroy-nothing",
      copy: "says-why",
      snapshot: "snapshot-nothing",
    },
    rest: { files },
  },
];

function variants(tools: Readonly<Record<string, string>>, list: readonly Variant[]): readonly Case[] {
  return Object.entries(tools).flatMap(([tool, rest]) =>
    list.flatMap(({ words, differs = {}, rest: details = {} }) => {
      const id = differs[tool.slice("lxc-".length)] ?? differs["*"] ?? "";
      // Without a name `true` would be one.
      const tail = words === "%" ? rest.replace("true", "") : rest;
      return cases([`${tool} ${words.replace("%", tail)}`.trim()], {
        ...details,
        ...(id === "" ? {} : { differs: id.split(" ") }),
      });
    }),
  );
}

export const commonCases: readonly Case[] = [
  ...variants({ ...named, ...others }, everywhere),
  ...variants(named, withName),
  // Accepted, and without a meaning there.
  ...cases(
    [
      "lxc-ls -1 --rcfile bad.conf",
      "lxc-autostart -L --rcfile bad.conf",
      "lxc-unshare -s IPC --rcfile bad.conf -- true",
      "lxc-unshare -s IPC -n islt-web -- true",
      "lxc-top -n islt-web --rcfile bad.conf -r",
    ],
    { files },
  ),
  ...cases([["lxc-unshare -l LOUD -s IPC -- true", "says-why"], "lxc-ls -l LOUD", "lxc-autostart -L -l LOUD"]),
  ...cases([
    "lxc-info -n islt-web -o deep/log; ls deep; stat -c '%a %s' deep/log",
    "lxc-stop -n islt-web -k -o deep/log; stat -c %a deep/log",
    "lxc-stop -n islt-web -k -o log; cut -d ' ' -f 1,2,4 log; sed 's/.* - //' log",
    "lxc-stop -n islt-web -k -l ERROR; cut -d ' ' -f 1,2,4 store/islt-web/islt-web.log",
    "lxc-stop -n islt-web -k -o none",
    "lxc-info -n islt-web -o /proc/nowhere/log",
    "lxc-info -n islt-web -o .",
    "lxc-ls -1 -o log; stat -c '%a %s' log",
    "lxc-autostart -L -o log; stat -c '%a %s' log",
    "lxc-unshare -s IPC -o log -- true; stat -c '%a %s' log",
    "lxc-top -o none -l ERROR",
  ]),
];
