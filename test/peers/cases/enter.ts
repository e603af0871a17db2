import { type Case, cases } from "./case.js";

/** lxc-attach, lxc-execute, lxc-console. */

const sorted = "sh -c 'env | sort'";

const attach: readonly Case[] = [
  ...cases([
    ["lxc-attach islt-web", "says-why"],
    ["lxc-attach -n islt-web -- true", "says-why"],
    "lxc-attach -q -n islt-web -- true",
  ]),
  ...cases(
    [
      "lxc-attach -n islt-web -- true",
      "lxc-attach islt-web true",
      "lxc-attach islt-web -- sh -c 'exit 7'",
      "lxc-attach islt-web -- sh -c 'kill -9 $$'",
      "lxc-attach islt-web -- sh -c 'kill -TERM $$'",
      ["lxc-attach islt-web -- none", "says-why"],
      ["lxc-attach islt-web -- /bin/none", "says-why"],
      ["lxc-attach islt-web -- /etc/passwd", "says-why"],
      ["lxc-attach islt-web -- /etc", "says-why"],
      "lxc-attach -q islt-web -- none",
      "lxc-attach -n islt-web -- cat",
      "lxc-attach -n islt-web -- sh -c 'echo out; echo err >&2'",
      "lxc-attach -n islt-web",
      "lxc-attach -n islt-web -- pwd",
      "cd /tmp; lxc-attach -n islt-web -- pwd",
      `lxc-attach -n islt-web -- ${sorted}`,
      `lxc-attach -n islt-web --clear-env -- ${sorted}`,
      `lxc-attach -n islt-web --clear-env --keep-var A -- ${sorted}`,
      `lxc-attach -n islt-web --clear-env --keep-var PATH -- ${sorted}`,
      `lxc-attach -n islt-web --keep-env -- ${sorted}`,
      `lxc-attach -n islt-web --clear-env -v B=2 --set-var C=3 -- ${sorted}`,
      `lxc-attach -n islt-web --clear-env -v B -- ${sorted}`,
      `lxc-attach -n islt-web --clear-env -v =x -- ${sorted}`,
      `lxc-attach -n islt-web --clear-env -v container=other -- ${sorted}`,
      "lxc-attach -n islt-web -u 7 -- id -u",
      "lxc-attach -n islt-web -u 7 -g 8 -- id",
      "lxc-attach -n islt-web -g 8 -- id",
      ["lxc-attach -n islt-web -u x -- id", "says-why"],
      ["lxc-attach -n islt-web -u -1 -- id", "says-why"],
      ["lxc-attach -n islt-web -u '' -- id", "says-why"],
      "lxc-attach -n islt-web -a i686 -- uname -m",
      ["lxc-attach -n islt-web -a bogus -- uname -m", "says-why"],
      "lxc-attach -n islt-web -e -- grep CapBnd /proc/self/status",
      "lxc-attach -n islt-web -- grep CapBnd /proc/self/status",
      "lxc-attach -n islt-web -eCAP -- grep CapBnd /proc/self/status",
      "lxc-attach -n islt-web -e'CAP|LSM' -- grep CapBnd /proc/self/status",
      ["lxc-attach -n islt-web -eBOGUS -- true", "says-why"],
      ["lxc-attach -n islt-web -e CAP -- true", "says-why"],
      "lxc-attach -n islt-web -s UTSNAME -- hostname",
      "lxc-attach -n islt-web -s 'MOUNT|PID' -- readlink /proc/self",
      "lxc-attach -n islt-web -s 'NETWORK|UTSNAME' -- sh -c 'hostname; ls /sys/class/net | head -n 1'",
      "lxc-attach -n islt-web -s 'PID|NETWORK' -R -- sh -c 'ls /sys/class/net; cat /proc/1/comm'",
      ["lxc-attach -n islt-web -s BOGUS -- true", "says-why"],
      ["lxc-attach -n islt-web -s '' -- true", "own-words"],
      ["lxc-attach -n islt-web -s mount -- true", "attach-namespaces"],
      "lxc-attach -n islt-web -s mnt -- true",
      "lxc-attach -n islt-web -s 'pid|mnt' -- true",
      "lxc-attach -n islt-web -c ctx -- true",
      "lxc-attach -n islt-web -e -c ctx -- true",
      "lxc-attach -n islt-web -L pty.log -- true",
      ["lxc-attach -n islt-web -L /proc/nowhere/log -- true", "own-words"],
      "lxc-attach -n islt-web -f one.conf -- sh -c 'echo $ONE'",
      "lxc-attach -n islt-web -o log -l INFO -- true",
      ["lxc-attach islt-web ls -d /bin", "options-end"],
      ["lxc-attach -n islt-web ls -d /bin", "options-end"],
      ["lxc-attach -n islt-web echo -q hi", "options-end"],
      "POSIXLY_CORRECT=1 lxc-attach -n islt-web echo -q hi",
      "lxc-attach -n islt-web -- hostname",
      "lxc-attach -n islt-web -- sh -c 'cat /proc/self/cgroup | grep -c /'",
      [
        "lxc-attach -n islt-web -- sh -c '[ -e /proc/self/fd/9 ] && echo open || echo closed' 9< /dev/null",
        "attach-descriptors",
      ],
      "lxc-attach -n islt-web -- sh -c 'sleep 1 & echo started' | cat",
    ],
    {
      given: "running",
      env: { A: "1" },
      input: "echo from stdin\n",
      files: { "one.conf": "lxc.environment = ONE=1\n" },
    },
  ),
  { run: "lxc-attach -n islt-web -- tty", given: "running", types: [] },
  { run: "lxc-attach -n islt-web -- sh -c 'echo $TERM; stty size; exit 3'", given: "running", types: [] },
  { run: "lxc-attach -n islt-web -L pty.log -- echo logged", given: "running", types: [], show: ["pty.log"] },
  {
    run: "lxc-attach -n islt-web -- cat",
    given: "running",
    types: [
      [/^$/, "text\n"],
      [/text\s+text/, "\u0004"],
    ],
  },
  { run: "lxc-attach -n islt-web -- sleep 20", given: "running", types: [[/^$/, "\u0003"]] },
  { run: "lxc-attach -n islt-web -- true", given: "frozen", limit: 2 },
];

const execute: readonly Case[] = [
  ...cases(
    [
      "lxc-execute -n islt-web -- true",
      "lxc-execute islt-web true",
      "lxc-execute islt-web -- sh -c 'exit 7'",
      "lxc-execute islt-web -- sh -c 'kill -9 $$'",
      "lxc-execute islt-web -- sh -c 'echo out; echo err >&2'",
      "lxc-execute islt-web -- cat",
      ["lxc-execute islt-web -- none", "says-why"],
      ["lxc-execute islt-web -- /etc/passwd", "says-why"],
      ["lxc-execute -q islt-web -- none", "says-why"],
      ["lxc-execute islt-web", "execute-nothing"],
      "lxc-execute -n islt-web -u 7 -g 8 -- id",
      ["lxc-execute -n islt-web -u x -- id", "says-why"],
      "lxc-execute -n islt-web -s lxc.uts.name=other -- hostname",
      ["lxc-execute -n islt-web -s lxc.bogus=1 -- hostname", "says-why"],
      ["lxc-execute -n islt-web -s nonsense -- hostname", "define-form"],
      "lxc-execute -n islt-web -d -- sleep 20",
      "lxc-execute -n islt-web -d -- none; sleep 0.3",
      ["lxc-execute -n islt-none -f exec.conf -- true", "own-words"],
      ["lxc-execute -n islt-web --share-net=1 -- true", "own-words"],
      ["lxc-execute -n islt-web --share-net=islt-none -- true", "own-words"],
      ['lxc-execute -n islt-web -- sh -c \'tr "\\0" " " < /proc/1/cmdline; echo; env | sort\'', "init-name"],
      "lxc-execute -n islt-web -- pwd",
    ],
    { input: "from stdin\n", files: { "exec.conf": "lxc.rootfs.path = dir:/proc/nowhere\n" } },
  ),
  ...cases([["lxc-execute -n islt-web -- true", "own-words"]], { given: "running" }),
  ...cases(["lxc-execute -n islt-other", "lxc-execute -n islt-other -- echo other"], {
    containers: { "islt-other": "@base\nlxc.execute.cmd = /bin/echo configured\n" },
  }),
  { run: "lxc-execute -n islt-web -- tty", types: [] },
];

const tty = "@base\nlxc.tty.max = 2\nlxc.init.cmd = /sbin/getty\n";
const withTty = "lxc-start -n islt-tty; sleep 0.2; ";

const console: readonly Case[] = [
  ...cases([
    "lxc-console islt-web",
    "lxc-console -n islt-web -t 1",
    ["lxc-console -n islt-web -t x", "says-why"],
    ["lxc-console -n islt-web -t -1", "says-why"],
    "lxc-console -n islt-web -e x",
  ]),
  ...cases(
    [
      ["lxc-console -n islt-web -t 9", "says-why"],
      ["lxc-console -n islt-web -t 99999999999", "says-why"],
      ["lxc-console -n islt-web < /dev/null", "says-why"],
      ["lxc-console -n islt-web -e ab", "console-silent"],
      ["lxc-console -n islt-web -e ''", "console-silent"],
      ["lxc-console -n islt-web -t x", "says-why"],
    ],
    { given: "running" },
  ),
  { run: "lxc-console -n islt-web", given: "running", types: [[/itself/, "\u0001q"]], differs: ["console-silent"] },
  {
    run: "lxc-console -n islt-web -t 1 -e ^b",
    given: "running",
    types: [[/itself/, "\u0002q"]],
    differs: ["console-silent"],
  },
  { run: "lxc-console -n islt-web -t 0 -e x", given: "running", types: [[/itself/, "xq"]] },
  {
    run: `${withTty}lxc-console -n islt-tty -t 1`,
    containers: { "islt-tty": tty },
    types: [
      [/prompt/, "text\n"],
      [/got text/, "\u0001q"],
    ],
  },
  {
    run: `${withTty}lxc-console -n islt-tty -t 1`,
    containers: { "islt-tty": tty },
    types: [
      [/prompt/, "a\u0001b\n"],
      [/got/, "\u0001q"],
    ],
    differs: ["console-escape"],
  },
  {
    run: `${withTty}(sleep 1; lxc-stop -kn islt-tty) & lxc-console -n islt-tty -t 2`,
    containers: { "islt-tty": tty },
    types: [],
    differs: ["console-silent"],
  },
  { run: "lxc-console -n islt-web", given: "frozen", types: [[/itself/, "\u0001q"]], differs: ["console-silent"] },
];

export const enterCases: readonly Case[] = [...attach, ...execute, ...console];
