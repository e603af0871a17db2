import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type ErrorCode, errorCodes, errorDomains, LibvirtError } from "../../../../src/frontends/libvirt/errors.js";
import { fromSpec as lxcConfig } from "../../../../src/frontends/lxc/config/from-spec.js";
import { type SpecContext, toSpec } from "../../../../src/frontends/libvirt/spec/to-spec.js";
import type { DomainDoc } from "../../../../src/frontends/libvirt/xml/domain.js";
import { capabilityName } from "../../../../src/spec/capability.js";
import type { ContainerSpec } from "../../../../src/spec/spec.js";
import { specOf } from "../../../support/plan.js";
import { consoles, domain, filesystem, nic, specContext, withOs } from "../../../support/domain.js";

const spec = (doc: DomainDoc, context: SpecContext = specContext()): ContainerSpec => toSpec(doc, context);

function refused(doc: DomainDoc, code: ErrorCode, message: string, context: SpecContext = specContext()): void {
  assert.throws(
    () => toSpec(doc, context),
    (error) => error instanceof LibvirtError && error.code === code && error.message === message,
    message,
  );
}

const variables = (doc: DomainDoc): readonly string[] =>
  spec(doc).process.environment.map((entry) => (entry.kind === "set" ? `${entry.name}=${entry.value}` : entry.name));

describe("a domain's configuration", () => {
  it("is one that LXC's reader takes, with the same root, groups and limits", () => {
    const made = spec(domain({ filesystems: [filesystem({ kind: "mount", dir: "/srv/a" }, "/")] }));
    const again = specOf(lxcConfig(made));
    assert.deepEqual(again.rootfs.source, made.rootfs.source);
    assert.equal(again.rootfs.managed, false);
    assert.deepEqual([again.cgroup.payload, again.cgroup.inner], [made.cgroup.payload, made.cgroup.inner]);
    assert.deepEqual(
      again.cgroup.settings.map(({ file, value }) => [file, value]),
      made.cgroup.settings.map(({ file, value }) => [file, value]),
    );
  });
});

describe("a domain's main process", () => {
  it("has libvirt's environment in order, with what the document adds behind", () => {
    const doc = withOs(
      { cmdline: "quiet single", initEnv: [{ name: "FOO", value: "bar baz" }] },
      { consoles: consoles(3) },
    );
    assert.deepEqual(variables(doc), [
      "PATH=/bin:/usr/bin",
      "TERM=linux",
      "container=lxc-libvirt",
      "HOME=/",
      "container_uuid=11111111-2222-3333-4444-555555555555",
      "container_ttys=pts/1 pts/2",
      "LIBVIRT_LXC_UUID=11111111-2222-3333-4444-555555555555",
      "LIBVIRT_LXC_NAME=web1",
      "LIBVIRT_LXC_CMDLINE=quiet single",
      "FOO=bar baz",
    ]);
  });

  it("has the arguments, the directory and the execution domain of the document", () => {
    const made = spec(
      withOs({ arch: "i686", init: "/bin/systemd", initArgs: ["--unit", "emergency.service"], initDir: "/root" }),
    );
    assert.deepEqual(made.init.command.value, ["/bin/systemd", "--unit", "emergency.service"]);
    assert.equal(made.init.cwd.value, "/root");
    assert.equal(made.process.personality, "linux32");
  });

  it("is shut down by SIGTERM and rebooted by SIGHUP", () => {
    const { lifecycle } = spec(domain());
    assert.deepEqual([lifecycle.haltSignal, lifecycle.rebootSignal, lifecycle.stopSignal], [15, 1, 9]);
  });
});

describe("a domain's host name", () => {
  for (const [name, host] of [
    ["my web.app_1 é", "mywebapp1"],
    ["-a-b", "a-b"],
    ["é", null],
    ["a".repeat(80), "a".repeat(64)],
  ] as const)
    it(`is ${host ?? "left alone"} for ${name.slice(0, 20)}`, () => {
      assert.equal(spec(domain({ name })).hostname?.value ?? null, host);
    });
});

describe("a domain's capabilities", () => {
  const names = (capabilities: DomainDoc["features"]["capabilities"]): string => {
    const rule = spec(domain({ features: { privnet: false, capabilities, others: [] } })).security.capabilities;
    return `${rule.kind} ${rule.capabilities.map(capabilityName).join(" ")}`;
  };
  const states = [
    { name: "mknod", on: true },
    { name: "sys_chroot", on: false },
  ];

  it("lack what is the host's, unless the document says otherwise", () => {
    assert.equal(names(null), "drop sys_module sys_time mknod audit_control mac_admin");
    assert.equal(names({ policy: "default", states }), "drop sys_module sys_chroot sys_time audit_control mac_admin");
  });

  it("are all but those that are off, or none but those that are on", () => {
    assert.equal(names({ policy: "allow", states }), "drop sys_chroot");
    assert.equal(names({ policy: "deny", states }), "keep mknod");
  });

  it("with mknod allow the making of any node, and no use of it", () => {
    const capabilities = { policy: "default", states } as const;
    const { devicesV1 } = spec(domain({ features: { privnet: false, capabilities, others: [] } })).cgroup;
    const any = devicesV1.filter((rule) => rule.allow && rule.major === null);
    assert.deepEqual(
      any.map(({ type, read, write, mknod }) => [type, read, write, mknod]),
      [
        ["c", false, false, true],
        ["b", false, false, true],
      ],
    );
  });
});

describe("a domain's limits", () => {
  const settings = (doc: DomainDoc): Readonly<Record<string, string>> =>
    Object.fromEntries(spec(doc).cgroup.settings.map(({ file, value }) => [file, value]));

  it("are its memory, and what memtune says instead", () => {
    assert.deepEqual(settings(domain()), { "memory.limit_in_bytes": String(131072 * 1024) });
    const memtune = { hardLimit: 1000n, softLimit: 500n, swapHardLimit: 2000n };
    assert.deepEqual(settings(domain({ memtune })), {
      "memory.limit_in_bytes": "1024000",
      "memory.soft_limit_in_bytes": "512000",
      "memory.memsw.limit_in_bytes": "2048000",
    });
  });

  it("of processors and memory nodes are the document's; a wish is none", () => {
    const doc = domain({
      cputune: { shares: 512n, period: 100000n, quota: -1n },
      vcpu: { count: 2, current: null, placement: "static", cpuset: [0, 2] },
      numatune: { mode: "preferred", placement: "static", nodeset: [0] },
    });
    const { "memory.limit_in_bytes": _, ...rest } = settings(doc);
    assert.deepEqual(rest, {
      "cpu.shares": "512",
      "cpu.cfs_period_us": "100000",
      "cpu.cfs_quota_us": "-1",
      "cpuset.cpus": "0,2",
    });
  });

  it("of block devices name them by number", () => {
    const none = { weight: null, readIops: null, writeIops: null, readBytes: null, writeBytes: null };
    const blkio = { weight: 300, devices: [{ ...none, path: "/dev/sda", weight: 200, writeBytes: 1048576n }] };
    const host = specContext({
      "/dev/sda": { kind: "b", major: 8, minor: 0 },
      "/dev/null": { kind: "c", major: 1, minor: 3 },
    });
    const made = spec(domain({ blkio }), host).cgroup.settings.slice(1);
    assert.deepEqual(
      made.map(({ file, value }) => `${file} ${value}`),
      ["blkio.weight 300", "blkio.weight_device 8:0 200", "blkio.throttle.write_bps_device 8:0 1048576"],
    );
    const at = (path: string): DomainDoc =>
      domain({ blkio: { weight: null, devices: [{ ...none, path, weight: 1 }] } });
    refused(at("/dev/nope"), errorCodes.system, "Path '/dev/nope' is not accessible: No such file or directory", host);
    refused(at("/dev/null"), errorCodes.system, "Path '/dev/null' must be a block device", host);
  });
});

describe("a domain's control group", () => {
  const place = (changes: Partial<DomainDoc>): string | null => spec(domain(changes)).cgroup.payload;

  it("is in the host's partition for machines, or in the one that it names", () => {
    assert.equal(place({}), "machine/lxc-11111111-web1.libvirt-lxc");
    assert.equal(place({ partition: "/machine/prod" }), "machine/prod.partition/lxc-11111111-web1.libvirt-lxc");
    assert.equal(place({ partition: "/foo/a.slice" }), "foo.partition/a.slice/lxc-11111111-web1.libvirt-lxc");
  });

  it("has of its name what can be of a group's, and never another's place", () => {
    assert.equal(place({ name: "..é b" }), "machine/lxc-11111111-..b.libvirt-lxc");
    assert.equal(place({ name: "é" }), "machine/lxc-11111111.libvirt-lxc");
    const config = errorCodes.configUnsupported;
    refused(
      domain({ partition: "foo" }),
      config,
      "unsupported configuration: Resource partition 'foo' must start with '/'",
    );
    refused(
      domain({ partition: "/a/../.." }),
      config,
      "unsupported configuration: Resource partition '/a/../..' must not have '.' or '..' in it",
    );
  });
});

describe("a domain's consoles", () => {
  it("are /dev/console, which is tty1, and the ttys after it", () => {
    const { console } = spec(domain({ consoles: consoles(3) }));
    assert.deepEqual([console.kind, console.isTty1, console.ttys], ["pty", true, 2]);
  });

  it("are one where the document has none", () => {
    assert.equal(spec(domain({ consoles: [] })).console.ttys, 0);
  });

  it("are not more than there can be", () => {
    refused(
      domain({ consoles: consoles(20_000) }),
      errorCodes.configUnsupported,
      "unsupported configuration: 20000 devices are more than the 1000 that a guest can have",
    );
  });

  it("are ptys and nothing else", () => {
    const other = [{ type: "file", targetType: "lxc", port: 0 }];
    refused(
      domain({ consoles: other }),
      errorCodes.configUnsupported,
      "unsupported configuration: Only PTY console types are supported",
    );
  });
});

describe("a domain's namespaces", () => {
  it("are its own; that of ids with a map, that of the network with what needs one", () => {
    const { namespaces } = spec(domain());
    const kinds = Object.entries(namespaces).filter(([, choice]) => choice.kind === "new");
    assert.deepEqual(kinds.map(([kind]) => kind).sort(), ["cgroup", "ipc", "mount", "pid", "uts"]);
    const range = [{ start: 0, target: 100000, count: 10 }];
    const mapped = spec(domain({ idmap: { uids: range, gids: range } }));
    assert.equal(mapped.namespaces.user.kind, "new");
    assert.deepEqual(
      mapped.idmap.map(({ type, inside, outside, count }) => [type, inside, outside, count]),
      [
        ["uid", 0, 100000, 10],
        ["gid", 0, 100000, 10],
      ],
    );
    assert.equal(spec(domain({ features: { ...domain().features, privnet: true } })).namespaces.net.kind, "new");
  });

  it("may be those of others", () => {
    const { namespaces, network } = spec(
      domain({
        features: { ...domain().features, privnet: true },
        namespaces: {
          net: { type: "netns", value: "red" },
          ipc: { type: "pid", value: "12345" },
          uts: { type: "name", value: "other" },
        },
      }),
    );
    assert.deepEqual(namespaces.net, { kind: "share", with: { file: "/run/netns/red" }, at: null });
    assert.deepEqual(namespaces.ipc, { kind: "share", with: { pid: 12345 }, at: null });
    assert.deepEqual(namespaces.uts, { kind: "share", with: { pid: 1001 }, at: null });
    assert.deepEqual(network, { kind: "own", nics: [] });
  });

  it("of others are refused where there are none, or where the document contradicts itself", () => {
    const shares = (namespaces: Partial<NonNullable<DomainDoc["namespaces"]>>): DomainDoc =>
      domain({ namespaces: { net: null, ipc: null, uts: null, ...namespaces } });
    refused(
      shares({ uts: { type: "name", value: "zz" } }),
      errorCodes.noDomain,
      "Domain not found: No domain with matching name 'zz'",
    );
    refused(
      shares({ ipc: { type: "netns", value: "red" } }),
      errorCodes.configUnsupported,
      "unsupported configuration: 'netns' namespace source can only be used with sharenet",
    );
    refused(
      shares({ net: { type: "netns", value: "../red" } }),
      errorCodes.system,
      "failed to open netns ../red: No such file or directory",
    );
    refused(
      { ...shares({ net: { type: "pid", value: "1" } }), interfaces: [nic({ kind: "bridge", bridge: "br0" })] },
      errorCodes.configUnsupported,
      "unsupported configuration: Config asks for inherit net namespace as well as private network interfaces",
    );
  });
});

describe("a domain's labels", () => {
  const label = { relabel: null, label: "a:b:c", baseLabel: null, imageLabel: null };

  it("are the document's own, or none", () => {
    const made = spec(domain({ seclabels: [{ ...label, type: "static", model: "selinux" }] }));
    assert.equal(made.security.selinux.context?.value, "a:b:c");
    assert.equal(spec(domain({ seclabels: [{ ...label, type: "none", model: null }] })).security.selinux.context, null);
  });

  it("are made at a start where the document has none of its own; what is the guest's own has that of files", () => {
    const dynamic = { ...label, type: "dynamic", model: "selinux" } as const;
    assert.equal(spec(domain({ seclabels: [{ ...dynamic, label: null }] })).security.selinux.context, null);
    const ram = filesystem({ kind: "ram", usage: 64n }, "/ram");
    const made = spec(
      domain({
        seclabels: [{ ...dynamic, label: "a:b:c:s0:c1,c2", imageLabel: "a:b:f:s0:c1,c2" }],
        filesystems: [ram],
      }),
    );
    assert.deepEqual(
      [made.security.selinux.context?.value, made.security.selinux.mountContext],
      ["a:b:c:s0:c1,c2", "a:b:f:s0:c1,c2"],
    );
    assert.match(
      made.mounts.entries.find(({ target }) => target === "ram")?.options.data ?? "",
      /,context="a:b:f:s0:c1,c2"$/,
    );
  });

  it("are refused of a model that nobody knows, or that none are made of", () => {
    const message = "unsupported configuration: Security driver model 'smack' is not available";
    refused(
      domain({ seclabels: [{ ...label, type: "static", model: "smack" }] }),
      errorCodes.configUnsupported,
      message,
    );
    assert.throws(
      () => spec(domain({ seclabels: [{ ...label, type: "dynamic", model: "apparmor" }] })),
      /dynamic labels/,
    );
  });
});

describe("a domain's name", () => {
  it("must be one that a container may have", () => {
    refused(
      domain({ name: ".." }),
      errorCodes.configUnsupported,
      'unsupported configuration: ".." cannot be a container name',
    );
    assert.equal(errorDomains.lxc, 17);
  });
});

describe("a domain's root", () => {
  const source = (doc: DomainDoc): unknown => spec(doc).rootfs.source;

  it("is the host's where the document names none", () => {
    assert.deepEqual(source(domain()), { kind: "host" });
    assert.deepEqual(source(domain({ filesystems: [filesystem({ kind: "mount", dir: "/" }, "/")] })), { kind: "host" });
  });

  it("is a directory, a device or a file, and islet never removes it", () => {
    const at = (from: DomainDoc["filesystems"][number]["source"]): DomainDoc =>
      domain({ filesystems: [filesystem(from, "/")] });
    assert.deepEqual(source(at({ kind: "mount", dir: "/srv/a" })), { kind: "dir", path: "/srv/a" });
    assert.deepEqual(source(at({ kind: "file", file: "/srv/a.img", driver: null, format: "raw" })), {
      kind: "loop",
      path: "/srv/a.img",
    });
    assert.equal(spec(at({ kind: "mount", dir: "/srv/a" })).rootfs.managed, false);
    refused(
      at({ kind: "ram", usage: 10n }),
      errorCodes.configUnsupported,
      "unsupported configuration: Unexpected filesystem type ram",
    );
    refused(
      at({ kind: "file", file: "/a", driver: "nbd", format: "qcow2" }),
      errorCodes.configUnsupported,
      "unsupported configuration: fs driver nbd is not supported",
    );
  });

  it("lacks nothing that a filesystem of the document needs", () => {
    refused(
      domain({ filesystems: [filesystem({ kind: "mount", dir: "/nope" }, "/srv")] }),
      errorCodes.internal,
      "internal error: guest failed to start: /nope for /srv: No such file or directory",
    );
    refused(
      domain({ filesystems: [filesystem({ kind: "other", type: "template", xml: "" }, "/srv")] }),
      errorCodes.configUnsupported,
      "unsupported configuration: unsupported filesystem type template",
    );
  });
});
