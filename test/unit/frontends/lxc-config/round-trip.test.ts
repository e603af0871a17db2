import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { fromSpec, parseConfig, toSpec } from "../../../../src/frontends/lxc/config/config.js";
import { joinCommand, splitCommand } from "../../../../src/frontends/lxc/config/command-line.js";
import { convert, memoryFiles, specOf, withoutSources } from "./helper.js";

const word = fc.stringMatching(/^[A-Za-z0-9_./:=@%+-]{1,12}$/);
const name = fc.stringMatching(/^[a-z][a-z0-9]{0,9}$/);
const phrase = fc.string({
  unit: fc.constantFrom("a", "B", " ", "'", '"', "=", "#", "é", "\\", "/"),
  minLength: 1,
  maxLength: 12,
});
const path = fc
  .array(fc.stringMatching(/^[A-Za-z0-9_.-]{1,8}$/), { minLength: 1, maxLength: 4 })
  .map((parts) => `/${parts.join("/")}`);
const number = fc.integer({ min: 0, max: 2 ** 31 - 1 });
const flag = fc.constantFrom("0", "1");
const signal = fc.constantFrom("SIGUSR1", "sigterm", "37", "SIGRTMIN+5", "SIGRTMAX-2");
const octet = fc.integer({ min: 0, max: 255 });
const ipv4 = fc.tuple(octet, octet, octet, octet).map((parts) => parts.join("."));
const ipv6 = fc
  .tuple(fc.stringMatching(/^[1-9a-f][0-9a-f]{0,3}$/), fc.stringMatching(/^[1-9a-f][0-9a-f]{0,3}$/))
  .map(([a, b]) => `${a}::${b}`);
const oneOf = (...values: readonly string[]): fc.Arbitrary<string> => fc.constantFrom(...values);
const line = (key: string, value: fc.Arbitrary<string | number>): fc.Arbitrary<string> =>
  value.map((one) => `${key} = ${one}`);

const mountWords = fc
  .uniqueArray(
    oneOf(
      "ro",
      "rw",
      "nosuid",
      "dev",
      "noexec",
      "bind",
      "rbind",
      "relatime",
      "noatime",
      "rslave",
      "private",
      "optional",
      "create=dir",
      "create=file",
      "relative",
      "size=1m",
      "mode=755",
      "defaults",
      "idmap=/proc/1/ns/user",
    ),
    { maxLength: 6 },
  )
  .map((words) => words.join(",") || "defaults");
const mountLine = fc
  .tuple(word, phrase, oneOf("none", "tmpfs", "proc"), mountWords)
  .map(
    ([source, target, type, options]) =>
      `${source} ${target.replace(/[\\ ]/g, (char) => (char === " " ? "\\040" : "\\134")).replace(/^\//, "")}x ${type} ${options} 0 0`,
  );

const lines: readonly fc.Arbitrary<string>[] = [
  line("lxc.uts.name", name),
  line("lxc.arch", oneOf("i686", "x86_64", "arm64", "armhf")),
  line(
    "lxc.init.cmd",
    fc
      .array(phrase, { minLength: 1, maxLength: 4 })
      .filter((words) => words[0]?.trim() !== "")
      .map((words) => joinCommand(["/x", ...words]) ?? "/x"),
  ),
  line("lxc.init.cwd", path),
  line("islet.guest.api", flag),
  line("lxc.init.uid", number),
  line("lxc.init.gid", number),
  line(
    "lxc.init.groups",
    fc.array(number, { minLength: 1, maxLength: 4 }).map((ids) => ids.join(",")),
  ),
  line(
    "lxc.environment",
    fc.tuple(name, phrase).map(([key, value]) => `${key}=${value}`),
  ),
  line("lxc.environment.runtime", name),
  line(
    "lxc.environment.hooks",
    fc.tuple(name, word).map(([key, value]) => `${key}=${value}`),
  ),
  ...[
    "lxc.no_new_privs",
    "lxc.keyring.session",
    "lxc.sched.core",
    "lxc.ephemeral",
    "lxc.start.auto",
    "lxc.monitor.unshare",
    "lxc.rootfs.managed",
    "lxc.autodev",
    "lxc.console.rotate",
    "lxc.apparmor.allow_incomplete",
    "lxc.apparmor.allow_nesting",
    "lxc.cgroup.relative",
  ].map((key) => line(key, flag)),
  line(
    "lxc.time.offset.boot",
    fc
      .tuple(fc.integer({ min: -99999, max: 99999 }), oneOf("h", "m", "s", "ms", "us", "ns"))
      .map((parts) => parts.join("")),
  ),
  line(
    "lxc.time.offset.monotonic",
    number.map((value) => `${value}us`),
  ),
  line(
    "lxc.prlimit.nofile",
    fc.oneof(
      number.map(String),
      fc.constant("unlimited"),
      number.map((value) => `${value}:unlimited`),
      number.map((value) => `${value}:${value + 1}`),
    ),
  ),
  line("lxc.prlimit.3", number),
  line("lxc.sysctl.net.ipv4.ip_forward", word),
  line("lxc.sysctl.net/ipv4/conf/eth0.100/forwarding", word),
  line("lxc.proc.oom_score_adj", number),
  ...["lxc.signal.halt", "lxc.signal.reboot", "lxc.signal.stop", "lxc.monitor.signal.pdeath"].map((key) =>
    line(key, signal),
  ),
  line("lxc.start.delay", number),
  line("lxc.start.order", fc.integer({ min: -1000, max: 1000 })),
  line(
    "lxc.group",
    fc.array(name, { minLength: 1, maxLength: 3 }).map((words) => words.join(" ")),
  ),
  line("lxc.log.level", oneOf("debug", "TRACE", "5")),
  line("lxc.log.file", path),
  line("lxc.log.syslog", oneOf("daemon", "local7")),
  ...["pre-start", "mount", "start", "post-stop", "clone"].map((kind) =>
    line(
      `lxc.hook.${kind}`,
      phrase.map((text) => `/x ${text}y`),
    ),
  ),
  line("lxc.hook.version", flag),
  line(
    "lxc.rootfs.path",
    fc.oneof(
      path,
      path.map((one) => `dir:${one}`),
      fc.tuple(path, path).map(([a, b]) => `overlay:/l${a}:/u${b}`),
      fc.tuple(path, path, path).map(([a, b, c]) => `overlay:/l${a}:/m${b}:/u${c}`),
      ...["lvm", "loop", "btrfs"].map((kind) => path.map((one) => `${kind}:${one}`)),
      fc.constant("zfs:tank/a"),
    ),
  ),
  line("lxc.rootfs.mount", path),
  line("lxc.rootfs.options", oneOf("ro", "noatime,nodev", "rw,uid=5")),
  line("lxc.mount.entry", mountLine),
  line(
    "lxc.mount.auto",
    fc
      .array(
        oneOf(
          "proc",
          "proc:rw",
          "sys",
          "sys:ro",
          "cgroup",
          "cgroup:rw:force",
          "cgroup-full:mixed",
          "cgroup2:ro",
          "shmounts:/a",
          "shmounts:/a:/b",
        ),
        { minLength: 1 },
      )
      .map((words) => words.join(" ")),
  ),
  line("lxc.autodev.tmpfs.size", number),
  line("lxc.console.path", fc.oneof(path, fc.constant("none"))),
  line("lxc.console.logfile", path),
  line("lxc.console.size", oneOf("auto", "5KB", "3MB", "123456")),
  line("lxc.console.buffer.size", oneOf("auto", "1GB")),
  line("lxc.tty.max", fc.integer({ min: 0, max: 64 })),
  line("lxc.tty.dir", name),
  line("lxc.pty.max", number),
  fc.constant("lxc.idmap = b 0 100000 65536"),
  line(
    "lxc.namespace.share.ipc",
    fc.oneof(
      name,
      number.map((value) => value + 1),
    ),
  ),
  line("lxc.namespace.share.net", name),
  line(
    "lxc.cap.drop",
    fc.array(oneOf("mknod", "sys_admin", "3", "cap_kill"), { minLength: 1 }).map((words) => words.join(" ")),
  ),
  line("lxc.apparmor.profile", phrase),
  line("lxc.apparmor.raw", phrase),
  line("lxc.selinux.context", word),
  line("lxc.selinux.context.keyring", word),
  fc.constant("lxc.seccomp.profile = /policy"),
  line("lxc.seccomp.allow_nesting", flag),
  line(
    "lxc.seccomp.notify.proxy",
    path.map((one) => `unix:${one}`),
  ),
  line("lxc.seccomp.notify.cookie", word),
  line("lxc.cgroup2.memory.max", word),
  line("lxc.cgroup.cpu.shares", number),
  line("lxc.cgroup2.devices.allow", oneOf("a", "c 1:3 rwm", "b *:* m", "c 136:* rw")),
  line("lxc.cgroup.devices.deny", oneOf("a", "c *:5 w")),
  line("lxc.cgroup.dir.monitor.pivot", name),
  line("lxc.cgroup.dir.container.inner", name),
];

const nic = (index: number): fc.Arbitrary<string> => {
  const key = (sub: string): string => `lxc.net.${index}.${sub}`;
  const common = [
    line(key("flags"), fc.constant("up")),
    line(
      key("name"),
      name.map((one) => `${one.slice(0, 8)}n${index}`),
    ),
    line(
      key("hwaddr"),
      fc.tuple(octet, octet).map(([a, b]) => `00:16:3E:${a.toString(16)}:${b.toString(16)}:00`),
    ),
    line(key("mtu"), fc.integer({ min: 68, max: 65536 })),
    line(
      key("ipv4.address"),
      fc.oneof(
        ipv4,
        fc.tuple(ipv4, fc.integer({ min: 0, max: 32 })).map((parts) => parts.join("/")),
        fc.tuple(ipv4, ipv4).map(([a, b]) => `${a}/24 ${b}`),
      ),
    ),
    line(
      key("ipv6.address"),
      fc.oneof(
        ipv6,
        fc.tuple(ipv6, fc.integer({ min: 0, max: 128 })).map((parts) => parts.join("/")),
      ),
    ),
    line(
      key("script.up"),
      phrase.map((text) => `/x ${text}y`),
    ),
  ];
  const veth = [
    line(key("veth.pair"), name),
    line(
      key("veth.ipv4.route"),
      ipv4.map((one) => `${one}/16`),
    ),
    line(
      key("veth.ipv6.route"),
      ipv6.map((one) => `${one}/48`),
    ),
    line(key("veth.n_rxqueues"), fc.integer({ min: 1, max: 16 })),
  ];
  // A VLAN is either the untagged one or a tagged one, and of bridges only.
  const types: Readonly<Record<string, readonly fc.Arbitrary<string>[]>> = {
    veth: [
      ...veth,
      line(key("veth.vlan.id"), fc.oneof(fc.integer({ min: 1, max: 2000 }).map(String), fc.constant("none"))),
      line(key("veth.vlan.tagged.id"), fc.integer({ min: 2001, max: 4094 })),
    ],
    router: [...veth, line(key("l2proxy"), oneOf("0", "1"))],
    macvlan: [line(key("macvlan.mode"), oneOf("private", "vepa", "bridge", "passthru"))],
    ipvlan: [
      line(key("ipvlan.mode"), oneOf("l2", "l3", "l3s")),
      line(key("ipvlan.isolation"), oneOf("bridge", "private", "vepa")),
    ],
    vlan: [line(key("vlan.id"), fc.integer({ min: 0, max: 4094 }))],
    phys: [],
    empty: [],
  };
  return fc
    .constantFrom(...Object.keys(types))
    .chain((type) =>
      fc
        .array(fc.oneof(...common, ...(types[type] ?? [])), { maxLength: 8 })
        .map((more) =>
          [
            `${key("type")} = ${type === "router" ? "veth" : type}`,
            ...(type === "router" ? [`${key("veth.mode")} = router`] : []),
            `${key("link")} = br0`,
            ...(type === "vlan" ? [`${key("vlan.id")} = 9`] : []),
            ...more,
          ].join("\n"),
        ),
    );
};

const namespaces = fc.oneof(
  fc.constant(""),
  fc
    .uniqueArray(oneOf("mnt", "pid", "uts", "ipc", "net", "cgroup", "time"), { minLength: 1 })
    .chain((words) => oneOf(`lxc.namespace.clone = ${words.join(" ")}`, `lxc.namespace.keep = ${words.join(" ")}`)),
  fc.constant("lxc.net.0.type = none"),
);

const config = fc
  .tuple(
    fc.array(fc.oneof(...lines), { maxLength: 30 }),
    namespaces,
    fc.oneof(
      fc.constant([] as string[]),
      nic(1).map((one) => [one]),
      fc.tuple(nic(1), nic(7)),
    ),
  )
  .map(([some, spaces, nics]) => [...some, spaces, ...nics].join("\n"));

const files = memoryFiles({ "/policy": "2\nallowlist\n" });
const context = { name: "web1", storePath: "/var/lib/lxc", files, stat: () => null };

test("a spec that is shown as a configuration and read again is the same spec", () => {
  let specs = 0;
  fc.assert(
    fc.property(config, (text) => {
      const first = toSpec(parseConfig({ file: "/c", text, files }), context);
      // lxc.idmap given twice overlaps itself; such a configuration has no spec.
      if (first.kind === "faults")
        return assert.ok(
          first.faults.every((fault) => /overlap/.test(fault.message)),
          JSON.stringify([text, first.faults], null, 1),
        );
      specs++;
      const again = toSpec(parseConfig({ file: "/c", text: fromSpec(first.spec), files }), context);
      if (again.kind === "faults") assert.fail(JSON.stringify(again.faults));
      assert.deepEqual(withoutSources(again.spec), withoutSources(first.spec));
      return assert.deepEqual(
        again.notices.filter((notice) => notice.kind === "legacy"),
        [],
      );
    }),
    { numRuns: 400 },
  );
  assert.ok(specs > 200, `only ${specs} of 400`);
});

test("the words of a command are the same after joining and splitting", () => {
  const some = fc.array(fc.string({ unit: fc.constantFrom("a", " ", "\t", "'", '"', "\\"), maxLength: 8 }));
  fc.assert(
    fc.property(some, (words) => {
      const text = joinCommand(words);
      if (text === null) assert.ok(words.some((one) => one.includes("'") && one.includes('"')));
      else assert.deepEqual(splitCommand(text), words);
    }),
  );
});

test("parsing never throws, whatever the text", () => {
  const key = fc.constantFrom(
    "lxc.net.0.type",
    "lxc.network.type",
    "lxc.idmap",
    "lxc.mount.auto",
    "lxc.mount.entry",
    "lxc.cgroup2.devices.allow",
    "lxc.",
    "lxc",
    "lxc.net.",
    "lxc.prlimit.",
    "lxc.include",
    "lxc.init.cmd",
    "lxc.time.offset.boot",
    "lxc.console.size",
    "lxc.rootfs.path",
    "lxc.sysctl.__proto__",
    "lxc.net.0.constructor",
    "lxc.toString",
  );
  const text = fc
    .array(fc.tuple(key, fc.string()).map(([one, value]) => `${one} = ${value}`))
    .map((all) => all.join("\n"));
  fc.assert(
    fc.property(text, (one) => assert.ok(["spec", "faults"].includes(convert(one).kind))),
    { numRuns: 500 },
  );
});

test("what a spec of another front end has beyond LXC's words becomes a comment", () => {
  const spec = specOf("lxc.uts.name = a");
  const text = fromSpec({
    ...spec,
    process: {
      ...spec.process,
      environment: [{ kind: "set", name: "container", value: "lxc-libvirt", scope: "runtime", at: null }],
    },
    mounts: { ...spec.mounts, dev: { ...spec.mounts.dev, nodes: [] } },
    hostname: { value: "a\nb", at: null },
  });
  assert.deepEqual(
    text.split("\n").filter((one) => !one.startsWith("#")),
    ["lxc.environment.runtime = container=lxc-libvirt", ""],
  );
  assert.equal(text.split("\n").filter((one) => one.startsWith("# ")).length, 3);
});
