import { type Case, cases } from "./case.js";

/** lxc-start, lxc-stop, lxc-freeze, lxc-unfreeze, lxc-autostart. */

const start: readonly Case[] = [
  ...cases([
    "lxc-start islt-web",
    "lxc-start -n islt-web -d",
    "lxc-start -n islt-web -C",
    "lxc-start -n islt-web -s lxc.environment=A=b",
    "lxc-start -n islt-web -s 'lxc.uts.name = other'",
    ["lxc-start -n islt-web -s lxc.bogus=1", "says-why"],
    ["lxc-start -n islt-web -s lxc.tty.max=x", "says-why"],
    ["lxc-start -n islt-web -s nonsense", "says-why"],
    ["lxc-start -n islt-web -s =", "says-why"],
    "lxc-start -n islt-web -p pid; wc -c < pid | grep -q '^[3-9]$'; stat -c %a pid; tr -d 0-9 < pid",
    "lxc-start -n islt-web -p pid; lxc-stop -k -n islt-web; ls pid",
    ["lxc-start -n islt-web -p /proc/nowhere/pid", "own-words"],
    ["lxc-start -n islt-web -c console.out", "says-why"],
    ["lxc-start -n islt-web -c /proc/nowhere/console", "says-why"],
    "lxc-start -n islt-web -L console.log; sleep 0.2; wc -l < console.log",
    ["lxc-start -n islt-web -L /proc/nowhere/console.log", "says-why"],
    ["lxc-start -n islt-web --share-net=1", "says-why"],
    ["lxc-start -n islt-web --share-net=islt-none", "says-why"],
    ["lxc-start -n islt-web --share-pid=4000000", "says-why"],
    "lxc-start -n islt-web --share-uts=",
    "lxc-start -n islt-web -- /bin/sh -c 'exit 3'; sleep 0.2",
    ["lxc-start -n islt-web -- /bin/none", "says-why"],
    ["lxc-start -n islt-web /bin/none", "says-why"],
    ["lxc-start -n islt-web -F -- /bin/none", "own-words"],
    "lxc-start -n islt-web -F -- /bin/sh -c 'exit 3'",
    ["lxc-start -n islt-web -F -- /bin/sh -c 'echo hello; exit 3'", "foreground-output"],
    "lxc-start -n islt-web -d -F -- /bin/true",
    "lxc-start -n islt-web -o log -l TRACE",
    "lxc-start -n islt-web -l DEBUG",
    "lxc-start -n islt-web -q -- /bin/none",
    "lxc-start -n islt-web -f web.conf -- /bin/none",
  ]),
  ...cases(
    ["lxc-start -n islt-web", "lxc-start -n islt-web -F", "lxc-start -q islt-web", "lxc-start -n islt-web -f missing"],
    {
      given: "running",
    },
  ),
  ...cases(["lxc-start -n islt-web"], { given: "frozen" }),
  ...cases(
    [
      ["lxc-start -n islt-other", "says-why"],
      ["lxc-start -n islt-other -F", "own-words"],
      ["lxc-start -n islt-other -l ERROR -o log; wc -l < log | tr -d 0-9", "says-why"],
    ],
    { containers: { "islt-other": "lxc.rootfs.path = dir:/proc/nowhere\nlxc.net.0.type = empty\n" } },
  ),
  ...cases([["lxc-start -n islt-other", "says-why"]], {
    containers: { "islt-other": "@base\nlxc.mount.entry = /proc/nowhere mnt none bind 0 0\n" },
  }),
  ...cases([["lxc-start -n islt-other", "says-why"]], {
    containers: { "islt-other": "@base\nlxc.net.1.type = veth\nlxc.net.1.link = islt-nobr\n" },
  }),
  ...cases([["lxc-start -n islt-other", "own-words"]], {
    containers: { "islt-other": "@base\nlxc.hook.pre-start = /bin/false\n" },
  }),
  ...cases([["lxc-start -n islt-other", "says-why"]], {
    containers: { "islt-other": "@base\nlxc.init.cmd = /bin/none\n" },
  }),
  ...cases(
    [
      ["lxc-start -n islt-other -f other.conf", "says-why"],
      ["lxc-start -n islt-none -f other.conf", "says-why"],
    ],
    {
      containers: { "islt-other": "@base\n" },
      files: { "other.conf": "lxc.rootfs.path = dir:/proc/nowhere\n" },
    },
  ),
  { run: "(sleep 0.6; lxc-stop -kn islt-web) & lxc-start -n islt-web -F", types: [] },
  {
    run: "lxc-start -n islt-web -F & s=$!; sleep 0.7; kill -9 $s; sleep 0.2; lxc-info -sn islt-web",
    drop: /^.*Killed.*\n/gm,
    differs: ["foreground-output"],
  },
  { run: "lxc-start -n islt-web -F -- /bin/sh -c 'read a; echo got $a'", types: [[/^$/, "text\n"]] },
  { run: "lxc-start -n islt-web -F & s=$!; sleep 0.7; kill -USR1 $s; wait $s", differs: ["foreground-output"] },
  {
    run: "lxc-start -n islt-web -F & s=$!; sleep 0.7; lxc-stop -k -n islt-web; wait $s",
    differs: ["foreground-output"],
  },
];

const shared = (options: string): string =>
  `lxc-start -n islt-other ${options}; for c in islt-web islt-other; do lxc-attach -n $c -- sh -c 'for n in net ipc uts; do readlink /proc/self/ns/$n; done'; done | sort | uniq | wc -l`;

/** Namespaces of the running container. */
const share: readonly Case[] = cases(
  [
    shared("-d"),
    shared("--share-net=islt-web"),
    shared("--share-ipc islt-web"),
    shared("--share-uts islt-web --share-net islt-web --share-ipc islt-web"),
    "lxc-start -n islt-other --share-pid islt-web -- /bin/sleep 5; lxc-attach -n islt-other -- sh -c 'ps | grep -c [s]leep'",
    "lxc-execute -n islt-other --share-net islt-web --share-ipc islt-web --share-uts islt-web -- hostname",
    "lxc-execute -n islt-other --share-pid islt-web -- sh -c 'echo $$ | grep -c 1'",
  ],
  { given: "running", containers: { "islt-other": "@base\n" } },
);

const stop: readonly Case[] = [
  ...cases([
    "lxc-stop islt-web",
    "lxc-stop -n islt-web -k",
    "lxc-stop -n islt-web -r",
    "lxc-stop -n islt-web -W",
    "lxc-stop -qn islt-web",
  ]),
  ...cases(
    [
      "lxc-stop islt-web",
      "lxc-stop -n islt-web -t 5",
      "lxc-stop -n islt-web -t -1",
      "lxc-stop -n islt-web -k",
      "lxc-stop -n islt-web --kill --nolock",
      "lxc-stop -n islt-web --nokill",
      "lxc-stop -n islt-web -W; sleep 0.2",
      "lxc-stop -n islt-web -t 0; sleep 0.2",
      "lxc-stop -n islt-web -r",
      "lxc-stop -n islt-web -r -t 5",
      "lxc-stop -n islt-web -rW; sleep 0.3",
      "lxc-stop -n islt-web -r -t 0; sleep 0.3",
      "lxc-stop -n islt-web -k -r",
      "lxc-stop -n islt-web -k --nokill",
      "lxc-stop -n islt-web -k -t 3",
      "lxc-stop -n islt-web -k -W",
      "lxc-stop -n islt-web --nolock",
      "lxc-stop -n islt-web -W -t 3; sleep 0.2",
      ["lxc-stop -n islt-web -t x", "says-why"],
      ["lxc-stop -n islt-web -t", "help"],
      ["lxc-stop -n islt-web -t 1.5", "says-why"],
      "lxc-stop -n islt-web more",
      "lxc-stop -k islt-web more",
    ],
    { given: "running" },
  ),
  ...cases(
    [
      "lxc-stop -n islt-web -k",
      "lxc-stop -n islt-web -t 1",
      ["lxc-stop -n islt-web --nokill -t 1", "stop-thaws"],
      ["lxc-stop -n islt-web -r -t 1", "stop-thaws"],
    ],
    {
      given: "frozen",
    },
  ),
  ...cases(
    [
      ["lxc-start -n islt-other; lxc-stop -n islt-other -t 1", "says-why"],
      ["lxc-start -n islt-other; lxc-stop -n islt-other --nokill -t 1", "says-why"],
      ["lxc-start -n islt-other; lxc-stop -n islt-other -r -t 1; lxc-info -sn islt-other", "own-words"],
    ],
    { containers: { "islt-other": "@base\nlxc.init.cmd = /bin/sleep 60\n" } },
  ),
];

const freeze: readonly Case[] = [
  ...cases(["lxc-freeze islt-web", "lxc-freeze -n islt-web more"], { differs: ["own-words"] }),
  ...cases(["lxc-freeze -q -n islt-web", "lxc-unfreeze islt-web", "lxc-unfreeze -n islt-web more"]),
  ...(["running", "frozen"] as const).flatMap((given) =>
    cases(
      [
        "lxc-freeze islt-web",
        "lxc-freeze -q -n islt-web",
        "lxc-freeze -n islt-web more",
        "lxc-unfreeze islt-web",
        "lxc-unfreeze -n islt-web more",
      ],
      { given },
    ),
  ),
];

const boot: Readonly<Record<string, string>> = {
  "islt-a": "@base\nlxc.start.auto = 1\nlxc.start.order = 2\n",
  "islt-b": "@base\nlxc.start.auto = 1\nlxc.start.order = 1\nlxc.start.delay = 1\n",
  "islt-g": "@base\nlxc.start.auto = 1\nlxc.group = g1\nlxc.group = g2\n",
  "islt-m": "@base\nlxc.group = g2\n",
};
const states = "lxc-ls -f -F name,state";
const up = "lxc-autostart -a";

const autostart: readonly Case[] = [
  ...cases(
    [
      "lxc-autostart -L",
      "lxc-autostart -La",
      "lxc-autostart -LA",
      "lxc-autostart -L -a -A",
      "lxc-autostart -L -g g1",
      "lxc-autostart -L -g g2,g1",
      "lxc-autostart -L -g g1 -g g2",
      "lxc-autostart -L -g g1,",
      "lxc-autostart -L -A -g g2,",
      "lxc-autostart -L -g none",
      ["lxc-autostart -L -a -g g1", "says-why"],
      "lxc-autostart -Ls",
      "lxc-autostart -Lr",
      "lxc-autostart -Lk",
      ["lxc-autostart -t x", "says-why"],
      "lxc-autostart -L more",
      "lxc-autostart -L -n islt-a",
      `lxc-autostart; s=$?; ${states}; exit $s`,
      `lxc-autostart -a; s=$?; ${states}; exit $s`,
      `lxc-autostart -A -g g2; s=$?; ${states}; exit $s`,
      `lxc-autostart -k; s=$?; ${states}; exit $s`,
      `${up}; ${up}; s=$?; ${states}; exit $s`,
      `${up}; lxc-autostart -Ls -a; lxc-autostart -Lk; lxc-autostart -Lr -a; lxc-autostart -L -a`,
      `${up}; lxc-autostart -s -a -t 5; s=$?; ${states}; exit $s`,
      `${up}; lxc-autostart -k; s=$?; ${states}; exit $s`,
      `${up}; lxc-autostart -r -a; s=$?; sleep 0.5; ${states}; exit $s`,
    ],
    { containers: boot, limit: 12 },
  ),
  ...cases([[`lxc-autostart; s=$?; ${states}; exit $s`, "says-why"], "lxc-autostart -q"], {
    containers: {
      "islt-a": "@base\nlxc.start.auto = 1\nlxc.init.cmd = /bin/none\n",
      "islt-b": "@base\nlxc.start.auto = 1\n",
    },
  }),
  ...cases(
    [
      ["lxc-autostart", "says-why"],
      ["lxc-autostart -L", "says-why"],
    ],
    { containers: { "islt-bad": "lxc.bogus = 1\n" } },
  ),
  ...cases(["mkdir elsewhere; lxc-autostart -P elsewhere"]),
];

export const lifeCases: readonly Case[] = [...start, ...share, ...stop, ...freeze, ...autostart];
