import { type Case, cases } from "./case.js";

/** lxc-info, lxc-ls, lxc-wait, lxc-monitor, lxc-top: what looks and changes nothing. */

const many: Readonly<Record<string, string>> = {
  "islt-auto": "@base\nlxc.start.auto = 1\nlxc.group = g1\nlxc.group = g2\n",
  "islt-map": "@base\nlxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n",
  "islt-net":
    '@base\nlxc.net.1.type = veth\nlxc.net.1.link = lxcbr0\nlxc.mount.entry = shm dev/shm tmpfs rw 0 0\nlxc.uts.name = "quoted"\n',
};

const info: readonly Case[] = [
  ...(["stopped", "running", "frozen"] as const).flatMap((given) =>
    cases(
      [
        "lxc-info islt-web",
        "lxc-info -n islt-web -s",
        "lxc-info -n islt-web -sH",
        "lxc-info -n islt-web -p",
        "lxc-info -n islt-web -pH",
        "lxc-info -n islt-web -i",
        "lxc-info -n islt-web -iH",
        "lxc-info -n islt-web -S",
        "lxc-info -n islt-web -spH",
        "lxc-info -n islt-web --state --pid --ips",
        "lxc-info -n islt-web -c lxc.uts.name",
        "lxc-info -n islt-web -c lxc.uts.name -H",
        "lxc-info -n islt-web -c lxc.uts.name -c lxc.cap.drop -H",
        "lxc-info -n islt-web -s -c lxc.uts.name -H",
        "lxc-info -n islt-web -c lxc.cap.drop",
        "lxc-info -n islt-web -c lxc.mount.auto",
        "lxc-info -n islt-web -c lxc.net",
        "lxc-info -n islt-web -c lxc.net.0.type",
        "lxc-info -n islt-web -c lxc.net.0",
        "lxc-info -n islt-web -c lxc.rootfs.path",
        "lxc-info -n islt-web -c lxc.cgroup.cpu",
        "lxc-info -n islt-web -c lxc.bogus",
        "lxc-info -n islt-web -c lxc.bogus -H",
        "lxc-info -n islt-web -c ''",
        "lxc-info -n islt-web -c lxc.bogus -c lxc.uts.name",
        "lxc-info islt-web more operands",
      ],
      { given },
    ),
  ),
  ...cases(["lxc-info -n islt-web -SH"], { given: "running", mask: /(?<=use: +)\d+/g }),
  ...cases(
    [
      "lxc-info -n islt-net -c lxc.mount.entry -c lxc.uts.name -c lxc.net.1.link -c lxc.net",
      "lxc-info -n islt-map -c lxc.idmap",
      "lxc-info -n islt-auto -c lxc.group -c lxc.start.auto -c lxc.start.delay -c lxc.start.order",
      "lxc-info -n islt-auto -c lxc.tty.max -c lxc.pty.max -c lxc.tty.dir -c lxc.signal.halt -c lxc.signal.stop",
      "lxc-info -n islt-auto -c lxc.init.cmd -c lxc.init.uid -c lxc.environment -c lxc.arch -c lxc.ephemeral",
      "lxc-info -n islt-auto -c lxc.apparmor.profile -c lxc.log.level -c lxc.log.file -c lxc.hook.start -c lxc.hook",
      [
        "lxc-info -n islt-auto -c lxc.console.path -c lxc.console.logfile -c lxc.autodev -c lxc.rootfs.mount -c lxc.prlimit",
        "rootfs-mount",
      ],
    ],
    { containers: many },
  ),
  ...cases(
    [
      "lxc-info -n islt-net -sH",
      "lxc-info -n islt-net -pHiS",
      "lxc-info -n islt-net -Hsc lxc.uts.name",
      "lxc-ls -1 -g g1,g2 -f",
    ],
    { containers: many },
  ),
  ...cases(["lxc-info -n islt-web --rcfile=one.conf -c lxc.uts.name", "lxc-info -n islt-none --rcfile=one.conf"], {
    files: { "one.conf": "lxc.uts.name = one\n" },
  }),
];

const ls: readonly Case[] = [
  ...(["stopped", "running", "frozen"] as const).flatMap((given) =>
    cases(
      [
        "lxc-ls",
        "lxc-ls -1",
        "lxc-ls -f",
        "lxc-ls -F name",
        "lxc-ls -f -F name,STATE,pid,ram,swap,autostart,groups,interface,ipv4,ipv6,unprivileged",
        "lxc-ls -1 --active",
        "lxc-ls -1 --running",
        "lxc-ls -1 --frozen",
        "lxc-ls -1 --stopped",
        "lxc-ls -1 --defined",
        "lxc-ls -1 --running --defined",
        "lxc-ls -1 --stopped --running",
        "lxc-ls -1 --active --frozen",
      ],
      { given, containers: many, mask: /(?<=\d  ?)0\.\d+MB/g },
    ),
  ),
  ...cases(
    [
      "lxc-ls -1 '^islt-[a-n]'",
      "lxc-ls -1 --filter 'map|net'",
      ["lxc-ls -1 --filter '('", "says-why"],
      ["lxc-ls -1 --filter '[z'", "says-why"],
      "lxc-ls -1 one two",
      "lxc-ls -1 -g g1,g2",
      "lxc-ls -1 -g g1,g3",
      "lxc-ls -1 -g g1 -g g2",
      "lxc-ls -1 -g ''",
      "lxc-ls -f -F bogus",
      "lxc-ls -f -F name,bogus",
      "lxc-ls -F bogus",
      "lxc-ls -f -F ''",
      "lxc-ls -f -F 'name, state'",
      "lxc-ls -f -F name,name",
      "lxc-ls -1 -f",
      "lxc-ls --nesting=x",
      "lxc-ls -n islt-web -1",
      "lxc-ls --filter islt-none -f",
    ],
    { containers: many },
  ),
  ...cases([["lxc-ls -1", "says-why"], ["lxc-ls -f", "says-why"], "lxc-ls -q -1"], {
    containers: { "islt-bad": "lxc.bogus = 1\n" },
  }),
  ...cases(["lxc-ls --nesting", "lxc-ls -1 --nesting", "lxc-ls -f --nesting=2"], {
    given: "running",
    containers: many,
  }),
  ...cases([["lxc-ls --nesting", "ls-nesting-frozen"]], { given: "frozen", limit: 2 }),
  { run: "lxc-ls", types: [], containers: many },
  { run: "lxc-ls -f", types: [], containers: many },
];

const wait: readonly Case[] = [
  ...cases([
    "lxc-wait -n islt-web -s STOPPED",
    "lxc-wait islt-web -s 'RUNNING|STOPPED'",
    ["lxc-wait -n islt-web -s RUNNING -t 1", "says-why"],
    ["lxc-wait -n islt-web -s RUNNING -t 0", "says-why"],
    "lxc-wait -n islt-none -s STOPPED",
    ["lxc-wait -n islt-none -s RUNNING -t 1", "says-why"],
    "lxc-wait -n islt-web -s BOGUS",
    "lxc-wait -n islt-web -s 'RUNNING|BOGUS'",
    "lxc-wait -n islt-web -s running",
    "lxc-wait -n islt-web",
    ["lxc-wait -n islt-web -s STOPPED -t x", "wait-number"],
    ["lxc-wait -n islt-web -s STOPPED -t 1x", "wait-number"],
    ["lxc-wait -n islt-web -s STOPPED -t ''", "wait-number"],
    "lxc-wait -n islt-web -s STOPPED more",
    "(sleep 0.4; lxc-start -n islt-web) & lxc-wait -n islt-web -s RUNNING -t 5; s=$?; wait; exit $s",
  ]),
  ...cases(
    [
      "lxc-wait -n islt-web -s RUNNING",
      ["lxc-wait -n islt-web -s STOPPED -t 1", "says-why"],
      "lxc-wait -n islt-web -s STOPPED -t 1 -q",
      ["lxc-wait -n islt-web -s THAWED -t 1", "says-why"],
      "(sleep 0.3; lxc-stop -k -n islt-web) & lxc-wait -n islt-web -s STOPPED -t 5; s=$?; wait; exit $s",
      "(sleep 0.3; lxc-freeze -n islt-web) & lxc-wait -n islt-web -s FROZEN -t 5; s=$?; wait; exit $s",
      "(sleep 0.3; lxc-freeze -n islt-web) & lxc-wait -n islt-web -s 'FROZEN|STOPPED' -t 5; s=$?; wait; exit $s",
    ],
    { given: "running" },
  ),
  ...cases(
    [
      ["lxc-wait -n islt-web -s STOPPED -t 0", "wait-forever"],
      ["lxc-wait -n islt-web -s STOPPED -t 0.5", "wait-forever"],
      ["lxc-wait -n islt-web -s ''", "wait-forever"],
      ["lxc-wait -n islt-web -s '|'", "wait-forever"],
    ],
    {
      given: "running",
      limit: 2,
    },
  ),
  ...cases(["lxc-wait -n islt-web -s FROZEN", ["lxc-wait -n islt-web -s RUNNING -t 1", "says-why"]], {
    given: "frozen",
  }),
];

/** The monitor runs while the other commands are carried out; then it is ended, and its status and what it said are shown. LXC's takes its time on a busy machine. */
const watched = (monitor: string, meanwhile: string, rest: Omit<Case, "run"> = {}): Case => ({
  run: `exec 3>&2 2>/dev/null; ${monitor} > lines 2>&3 & m=$!; sleep 1; ${meanwhile} 2>&3; sleep 0.6; kill $m; wait $m`,
  show: ["lines"],
  ...rest,
});

const monitor: readonly Case[] = [
  watched("lxc-monitor", "{ lxc-start -n islt-web; lxc-stop -k -n islt-web; }"),
  watched("lxc-monitor -n islt-web", "lxc-stop -n islt-web", { given: "running" }),
  watched("lxc-monitor -n 'islt-.*'", "{ lxc-freeze -n islt-web; lxc-unfreeze -n islt-web; }", {
    given: "running",
    differs: ["monitor-once"],
  }),
  watched("lxc-monitor -n islt-none", "lxc-stop -k -n islt-web", { given: "running" }),
  watched("lxc-monitor -n islt", "lxc-stop -k -n islt-web", { given: "running" }),
  watched("lxc-monitor -n islt-web", "lxc-stop -r -n islt-web", { given: "running" }),
  watched("lxc-monitor -n islt-web", "lxc-stop -n islt-web -t 1", { given: "frozen", differs: ["stop-thaws"] }),
  watched("lxc-monitor -n islt-web -o log -l ERROR --rcfile=missing.conf", "lxc-stop -k -n islt-web", {
    given: "running",
  }),
  watched("lxc-monitor -P $PWD/elsewhere", "lxc-stop -k -n islt-web", { given: "running" }),
  ...cases([["lxc-monitor -n '('", "says-why"], "lxc-monitor -Q"]),
];

const top: readonly Case[] = [
  ...cases(["lxc-top", ["lxc-top -d x", "says-why"], "lxc-top -s z", ["lxc-top -d", "help"], "lxc-top more"], {
    given: "running",
  }),
  ...cases([["timeout 1 lxc-top -b -d 3", "top-batch"]], { given: "running", mask: /\b\d+\b/g }),
  { run: "lxc-top -d 1", given: "running", types: [[/TOTAL/, "q"]], mask: /\d+(\.\d+)?( \w?B)?/g },
  {
    run: "timeout 1.5 lxc-top -b -d 1 | head -n 2",
    given: "running",
    types: [],
    mask: /\b\d+\b/g,
    differs: ["top-batch"],
  },
];

export const lookCases: readonly Case[] = [...info, ...ls, ...wait, ...monitor, ...top];
