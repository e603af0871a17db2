import { type Case, cases } from "./case.js";

/** lxc-cgroup, lxc-device, lxc-unshare, lxc-usernsexec. */

const cgroup: readonly Case[] = [
  ...cases(["lxc-cgroup islt-web cpu.shares", "lxc-cgroup -n islt-web cpu.shares 100", "lxc-cgroup -n islt-web"]),
  ...(["running", "frozen"] as const).flatMap((given) =>
    cases(
      [
        "lxc-cgroup -n islt-web cpu.shares",
        "lxc-cgroup islt-web cpu.shares 512; lxc-cgroup islt-web cpu.shares; lxc-cgroup islt-web cpu.shares 1024",
        "lxc-cgroup -n islt-web memory.limit_in_bytes 300000000; lxc-cgroup -n islt-web memory.limit_in_bytes",
        ["lxc-cgroup -n islt-web memory.limit_in_bytes -1", "help"],
        "lxc-cgroup -n islt-web devices.list",
        "lxc-cgroup -n islt-web devices.deny 'c 1:5 rwm'; lxc-cgroup -n islt-web devices.allow 'c 1:5 rwm'",
        ["lxc-cgroup -n islt-web devices.deny bogus", "says-why"],
        "lxc-cgroup -n islt-web cpuset.cpus",
        ["lxc-cgroup -n islt-web cpuset.cpus 99", "says-why"],
        ["lxc-cgroup -n islt-web cpuset.cpus ''", "says-why"],
        "lxc-cgroup -n islt-web pids.max",
        "lxc-cgroup -n islt-web freezer.state",
        ["lxc-cgroup -n islt-web bogus.key", "says-why"],
        ["lxc-cgroup -n islt-web cpu.bogus", "says-why"],
        ["lxc-cgroup -n islt-web cpu.bogus 1", "says-why"],
        ["lxc-cgroup -n islt-web cpu.shares x", "says-why"],
        ["lxc-cgroup -n islt-web cpu/shares", "says-why"],
        ["lxc-cgroup -n islt-web ../cpu.shares", "says-why"],
        "lxc-cgroup -n islt-web cpu.shares 512 more",
        "lxc-cgroup -q -n islt-web bogus.key",
        "lxc-cgroup -n islt-web",
        ["lxc-cgroup -n islt-web ''", "says-why"],
        ["lxc-cgroup -n islt-web tasks | sed s/[0-9]*/#/", "says-why"],
      ],
      { given },
    ),
  ),
];

const look = "lxc-attach -n islt-web -- sh -c 'ls -l /dev/fuse /dev/islt 2>&1 | cut -c 1-10'";

/** Where the host's own /proc/1 is closed to root, LXC says so by the way. */
const hostProc = /^.*(Failed to open "\/proc\/1\/ns\/net"|Failed to enter netns of container)\n/gm;

const device: readonly Case[] = [
  ...cases(["lxc-device islt-web add /dev/fuse", "lxc-device -n islt-web -- add /dev/fuse"]),
  ...cases(
    [
      `lxc-device -n islt-web -- add /dev/fuse; ${look}; lxc-device -n islt-web -- del /dev/fuse; ${look}`,
      [
        `lxc-device -n islt-web add /dev/fuse /dev/islt; ${look}; lxc-device -n islt-web -- del /dev/fuse /dev/islt; ${look}`,
        "device-destination",
      ],
      "lxc-device -n islt-web",
      "lxc-device -n islt-web -- add",
      "lxc-device -n islt-web -- del",
      "lxc-device -n islt-web -- bogus /dev/fuse",
      ["lxc-device -n islt-web -- add /dev/nosuch", "says-why"],
      ["lxc-device -n islt-web -- del /dev/nosuch", "says-why"],
      ["lxc-device -n islt-web -- add /etc/passwd", "says-why"],
      ["lxc-device -n islt-web -- add nosuch0", "says-why"],
      ["lxc-device -n islt-web -- del nosuch0", "says-why"],
      ["lxc-device -n islt-web -- add /dev/fuse one two", "device-destination"],
      "lxc-device -q -n islt-web -- add /dev/nosuch",
      ["lxc-device -n islt-web -- del /dev/fuse", "device-missing"],
    ],
    { given: "running", drop: hostProc },
  ),
];

const unshare: readonly Case[] = cases(
  [
    "lxc-unshare -s IPC -- true",
    "lxc-unshare -s UTSNAME -H islt-host -- hostname",
    "lxc-unshare -s 'PID|MOUNT' -- sh -c 'echo $$'",
    "lxc-unshare -s NETWORK -- sh -c 'grep -c : /proc/net/dev'",
    ["lxc-unshare -s IPC -- sh -c 'exit 3'", "says-why"],
    ["lxc-unshare -s IPC -- sh -c 'kill -9 $$'", "says-why"],
    ["lxc-unshare -s IPC -- /bin/none", "own-words"],
    "lxc-unshare -s IPC -d -- true",
    "lxc-unshare -s IPC",
    "lxc-unshare -- true",
    "lxc-unshare",
    ["lxc-unshare -s BOGUS -- true", "says-why"],
    "lxc-unshare -s '' -- true",
    "unshare -m --propagation private sh -c 'mount --make-rshared / && mkdir mnt && lxc-unshare -s MOUNT -- mount -t tmpfs none mnt && mountpoint -q mnt'",
    "lxc-unshare -s IPC -H host -- true",
    "lxc-unshare -s IPC -i lo -- true",
    "lxc-unshare -s IPC -M -- true",
    ["lxc-unshare -s IPC -u nosuch -- true", "says-why"],
    "lxc-unshare -s USER -u 0 -- id -u",
    "lxc-unshare -s 'USER|PID' -- id -u",
    ["lxc-unshare -s NETWORK -i nosuch0 -- true", "unshare-interface"],
    ["lxc-unshare -s IPC sh -c 'echo words'", "options-end"],
    ["lxc-unshare -s 'MOUNT|PID' -M -- sh -c 'ls -d /proc/[0-9]* | wc -l'", "unshare-remount"],
  ],
  { mask: /(?<=wait for '|container )\d+/g },
);

/** What /etc/subuid and /etc/subgid allow is the case's matter, not the host's. */
const ranges = (allowed: string, words: string, ...differs: readonly string[]): Case => ({
  differs,
  run: `unshare -m --propagation private sh -c 'mount --bind ranges /etc/subuid && mount --bind ranges /etc/subgid && exec "$@"' sh lxc-usernsexec ${words}`,
  files: { ranges: allowed },
  mask: /(?<=newuidmap )\d+|^[^\n]*newgidmap[^\n]*\n/gm,
});

const usernsexec: readonly Case[] = [
  ...(
    [
      ["-m b:0:0:1 -- id -u"],
      ["-m u:0:100000:10 -m g:0:100000:10 -- id -u"],
      ["-m b:0:100000:10 -- cat /proc/self/uid_map"],
      ["-m b:0:100000:10 -- sh -c 'exit 5'"],
      ["-m b:0:100000:10 -- sh -c 'kill -9 $$'", "signal-status"],
      ["-m b:0:100000:10 -- /bin/none", "says-why"],
      ["-s -m b:0:100000:10 -- id -u"],
      ["-m b:0:100000:10 -- sh -c 'echo words'"],
      ["-m b:0:100000:10 -- cat"],
    ] as const
  ).map(([words, ...differs]) => ({ ...ranges("root:100000:65536\n", words, ...differs), input: "from stdin\n" })),
  ranges("", "-m b:0:100000:10 -- id -u", "usernsexec-maps"),
  ranges("", "-m b:0:0:1 -- id -u"),
  ...cases([
    ["lxc-usernsexec -m x:0:100000:10 -- true", "usernsexec-usage"],
    ["lxc-usernsexec -m b:0:100000 -- true", "usernsexec-usage"],
    ["lxc-usernsexec -m b:0:x:10 -- true", "usernsexec-usage"],
    ["lxc-usernsexec -m '' -- true", "usernsexec-usage"],
    ["lxc-usernsexec -h", "usernsexec-usage"],
    ["lxc-usernsexec --help", "usernsexec-usage"],
    ["lxc-usernsexec -Z", "usernsexec-usage"],
    ["lxc-usernsexec -m", "usernsexec-usage"],
    ["lxc-usernsexec -m b:0:0:1 sh -c 'echo words'", "options-end"],
  ]),
];

export const toolCases: readonly Case[] = [...cgroup, ...device, ...unshare, ...usernsexec];
