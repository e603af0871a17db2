import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { IsletError } from "../../../../src/base/errors.js";
import type { ClientTask, ContainerId, CreateOptions, Engine, FillRequest } from "../../../../src/engine/engine.js";
import { mappedCommand } from "../../../../src/frontends/lxc/commands/create.js";
import { runningContainer, tool } from "./canned.js";

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "islt-cmds-"));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

interface Made {
  readonly options: CreateOptions[];
  readonly images: FillRequest[];
  readonly commands: (readonly string[])[];
  /** The config when the template was done. */
  config: string;
}

/** An engine whose create gives the template a directory of the test's and whose images are not made. */
function creating(store: string): { readonly made: Made; readonly engine: Partial<Engine> } {
  const made: Made = { options: [], images: [], commands: [], config: "" };
  const engine = {
    create: async (id: { readonly name: string }, options: CreateOptions): Promise<void> => {
      made.options.push(options);
      const paths = {
        directory: join(store, id.name),
        config: join(store, id.name, "config"),
        rootfs: join(store, id.name, "rootfs"),
        root: join(store, id.name, "rootfs"),
        mount: null,
      };
      mkdirSync(paths.rootfs, { recursive: true });
      const path = options.storage?.kind === "dir" ? (options.storage.path ?? paths.rootfs) : null;
      writeFileSync(paths.config, options.config(path === null ? null : { kind: "dir", path }));
      await options.populate(paths);
      made.config = readFileSync(paths.config, "utf8");
    },
    fillRootfs: (request: FillRequest): Promise<null> => {
      made.images.push(request);
      return Promise.resolve(null);
    },
    hostCommand: (argv: readonly string[]): Promise<ClientTask> => {
      made.commands.push(argv);
      return Promise.resolve({ image: new Uint8Array(), fds: [], explainFailure: () => new Error("never") });
    },
  };
  return { made, engine };
}

describe("lxc-create", () => {
  it("writes header, initial configuration and the busybox template's lines, as Debian's LXC does", async (t) => {
    const store = directory(t);
    const conf = join(store, "conf");
    writeFileSync(conf, "# mine\n\nlxc.net.0.type = empty\n\n");
    const { made, engine } = creating(store);
    const { status, stderr } = await tool(["lxc-create", "-P", store, "-n", "t-b", "-t", "busybox", "-f", conf], {
      engine,
    });
    assert.deepEqual([status, stderr], [0, ""]);
    const rootfs = join(store, "t-b/rootfs");
    const head = [
      "# Template used to create this container: /usr/share/lxc/templates/lxc-busybox",
      "# Parameters passed to the template:",
      "# For additional config options, please look at lxc.container.conf(5)",
      "",
      "# Uncomment the following line to support nesting containers:",
      "#lxc.include = /usr/share/lxc/config/nesting.conf",
      "# (Be aware this has security implications)",
      "",
      "# mine",
      "lxc.net.0.type = empty",
      `lxc.rootfs.path = dir:${rootfs}`,
      "lxc.signal.halt = SIGUSR1",
      "lxc.signal.reboot = SIGTERM",
      'lxc.uts.name = "t-b"',
      "lxc.autodev = 1",
    ];
    assert.deepEqual(made.config.split("\n").slice(0, head.length), head);
    assert.deepEqual(made.images, [
      {
        kind: "busybox",
        rootfs,
        program: null,
        searchPath: "/usr/bin:/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        owner: null,
      },
    ]);
  });
  it("fills in hwaddr templates", async (t) => {
    const store = directory(t);
    const conf = join(store, "conf");
    writeFileSync(conf, "lxc.net.0.type = veth\nlxc.net.0.hwaddr = 00:16:3e:xx:XX:xx\n");
    const { made, engine } = creating(store);
    await tool(["lxc-create", "-P", store, "web", "-t", "none", "-f", conf], { engine });
    assert.match(made.config, /^lxc\.net\.0\.hwaddr = 00:16:3e(:[0-9a-f]{2}){3}$/m);
  });
  it("refuses a missing or broken configuration before it makes anything", async (t) => {
    const broken = join(directory(t), "conf");
    writeFileSync(broken, "lxc.foo = 1\n");
    const bad = await tool(["lxc-create", "web", "-t", "none", "-f", broken]);
    assert.equal(bad.status, 1);
    assert.match(
      bad.stderr,
      /Unsupported config key "lxc.foo" \(.*conf:1 lxc.foo\)[^]*Failed to create container web\n$/,
    );
    assert.ok(!bad.calls.includes("create"));
    const missing = await tool(["lxc-create", "web", "-t", "none", "-f", "/nonexistent"]);
    assert.equal(missing.status, 1);
    assert.match(missing.stderr, /No such file or directory - Failed to open file "\/nonexistent"/);
    assert.ok(!missing.calls.includes("create"));
  });
  it("makes no root file system and no header with -t none", async (t) => {
    const store = directory(t);
    const { made, engine } = creating(store);
    await tool(["lxc-create", "-P", store, "web", "-t", "none", "-f", "/dev/null"], { engine });
    assert.deepEqual([made.options[0]?.storage, made.config], [null, ""]);
  });
  it("calls a template script with LXC's arguments, found by path or in LXC_TEMPLATE_PATH", async (t) => {
    const store = directory(t);
    const script = join(store, "lxc-own");
    writeFileSync(script, "#!/bin/sh\n");
    chmodSync(script, 0o755);
    const { made, engine } = creating(store);
    const environment = { LXC_TEMPLATE_PATH: store };
    const canned = { engine, environment, run: () => Promise.resolve(0) };
    for (const name of ["own", script]) {
      await tool(["lxc-create", "-P", store, "web", "-t", name, "-f", "/dev/null", "--", "-r", "a b"], canned);
    }
    const expected = [script, `--path=${store}/web`, "--name=web", `--rootfs=${store}/web/rootfs`, "-r", "a b"];
    assert.deepEqual(made.commands, [expected, expected]);
    assert.match(made.config, /^# Parameters passed to the template: -r a b$/m);
  });
  it("says that the template failed", async (t) => {
    const store = directory(t);
    const { engine } = creating(store);
    const canned = { engine, run: () => Promise.resolve(3) };
    const { status, stderr } = await tool(
      ["lxc-create", "-P", store, "web", "-t", "/bin/false", "-f", "/dev/null"],
      canned,
    );
    assert.equal(status, 1);
    assert.equal(
      stderr,
      [
        "lxc-create: web: the template /bin/false ended with status 3",
        "lxc-create: web: Failed to create container from template",
        "lxc-create: web: Failed to create container web",
        "",
      ].join("\n"),
    );
  });
  it("wants a template that exists, and a name that does not", async () => {
    const none = await tool(["lxc-create", "web"]);
    assert.equal(
      none.stderr,
      'lxc-create: web: A template must be specified\nlxc-create: web: Use "none" if you really want a container without a rootfs\n',
    );
    const unknown = await tool(["lxc-create", "web", "-t", "nosuch", "-f", "/dev/null"]);
    assert.match(
      unknown.stderr,
      /bad template: nosuch[^]*Template "nosuch" not found\n.*Failed to create container web\n$/,
    );
    const present = await tool(["lxc-create", "web", "-t", "none"], { configs: { web: "" } });
    assert.deepEqual([present.status, present.stderr], [1, "lxc-create: web: Container already exists\n"]);
  });
  it("checks the storage options in LXC's words, and says which drivers there are not", async () => {
    const cases: readonly (readonly [readonly string[], RegExp])[] = [
      [["-B", "foo"], /foo is not a valid backing storage type/],
      [["-B", "rbd"], /islet keeps no root file systems on rbd; use -B loop or -B lvm/],
      [["-B", "loop", "--fssize", "5X"], /--fssize: "5X" is not a size; a whole number and one of b, k, m, g, t/],
      [["-B", "lvm", "--fssize", "1.5G"], /--fssize: "1\.5G" is not a size/],
      [["-B", "lvm", "--fssize", "9999999999T"], /--fssize: "9999999999T" is too large/],
      [["--dir", "rel"], /--dir should use absolute path/],
      [["--fssize", "1G"], /Filesystem type and size are only valid with block devices/],
      [["--vgname", "x"], /--lvname, --vgname and --thinpool are only valid with -B lvm/],
      [["--rbdpool", "x"], /--rbdname and --rbdpool are only valid with -B rbd/],
      [["--zfsroot", "x"], /zfsroot is only valid with -B zfs/],
    ];
    for (const [args, text] of cases) {
      const { status, stderr, calls } = await tool(["lxc-create", "web", "-t", "none", ...args]);
      assert.equal(status, 1);
      assert.match(stderr, text);
      assert.deepEqual(calls, []);
    }
  });
  it("runs a template of an unprivileged container in its user namespace, with host root mapped beside", () => {
    const map = [
      { type: "uid", inside: 0, outside: 100000, count: 65536, at: null },
      { type: "gid", inside: 0, outside: 200000, count: 65536, at: null },
    ] as const;
    assert.deepEqual(
      mappedCommand(map, ["/t", "--name=x"]).join(" "),
      [
        "lxc-usernsexec -m u:0:100000:65536 -m g:0:200000:65536 -m u:65536:0:1 -m g:65536:0:1 --",
        "/t --name=x --mapped-uid=65536 --mapped-gid=65536",
      ].join(" "),
    );
    assert.deepEqual(mappedCommand([], ["/t"]), ["/t"]);
  });
  it("shows the template's help after its own", async () => {
    const { status, stdout, stderr } = await tool(["lxc-create", "-t", "busybox", "-h"]);
    assert.equal(status, 0);
    assert.match(stderr, /^Usage: lxc-create /);
    assert.match(stdout, /^LXC busybox image builder\n[^]*--busybox-path <path>/);
  });
  it("refuses options that the busybox template does not have, with its usage", async (t) => {
    const store = directory(t);
    const { engine } = creating(store);
    const args = ["lxc-create", "-P", store, "web", "-t", "busybox", "-f", "/dev/null", "--", "--foo"];
    const { status, stdout, stderr } = await tool(args, { engine });
    assert.equal(status, 1);
    assert.match(stdout, /^LXC busybox image builder/);
    assert.match(stderr, /unrecognized option '--foo'\n.*Failed to create container from template/);
  });
});

describe("lxc-destroy", () => {
  const configs = { web: "lxc.rootfs.path = dir:/canned/web/rootfs\n" };
  const refusing = (code: "ISLET_RUNNING" | "ISLET_HAS_CLONES" | "ISLET_HAS_SNAPSHOTS"): Partial<Engine> => ({
    destroy: () => Promise.reject(new IsletError(code, "it is used by db")),
  });
  it("is silent on success", async () => {
    const outcome = await tool(["lxc-destroy", "web"], { configs, engine: { destroy: () => Promise.resolve() } });
    assert.deepEqual([outcome.status, outcome.stdout, outcome.stderr], [0, "", ""]);
  });
  it("says why it does not remove a container", async () => {
    const stderr = async (engine: Partial<Engine>): Promise<string> => {
      const outcome = await tool(["lxc-destroy", "web"], { configs, engine });
      assert.equal(outcome.status, 1);
      return outcome.stderr;
    };
    assert.equal(await stderr(refusing("ISLET_RUNNING")), "lxc-destroy: web: web is running\n");
    assert.match(await stderr(refusing("ISLET_HAS_CLONES")), /Destroying web failed: web has clones\n$/);
    assert.match(await stderr(refusing("ISLET_HAS_SNAPSHOTS")), /Destroying web failed: web has snapshots\n$/);
    assert.equal((await tool(["lxc-destroy", "nosuch"])).stderr, "lxc-destroy: nosuch: Container is not defined\n");
  });
  it("kills a running container with -f, but not one that has clones", async () => {
    let running = true;
    const engine: Partial<Engine> = {
      destroy: () => (running ? Promise.reject(new IsletError("ISLET_RUNNING", "")) : Promise.resolve()),
      stop: () => {
        running = false;
        return Promise.resolve({ killed: true });
      },
    };
    const forced = await tool(["lxc-destroy", "-f", "web"], { configs, engine });
    assert.deepEqual([forced.status, forced.calls], [0, ["readConfig", "destroy", "stop", "destroy"]]);
    const held = await tool(["lxc-destroy", "-f", "web"], { configs, engine: refusing("ISLET_HAS_CLONES") });
    assert.deepEqual([held.status, held.calls], [1, ["readConfig", "destroy"]]);
  });
  it("removes a container whose configuration is broken, and tells what that leaves undone", async () => {
    const specs: unknown[] = [];
    const engine: Partial<Engine> = {
      destroy: (_id, spec) => {
        specs.push(spec);
        return Promise.resolve();
      },
    };
    const { status, stderr } = await tool(["lxc-destroy", "web"], { configs: { web: "lxc.foo = 1\n" }, engine });
    assert.deepEqual([status, specs], [0, [null]]);
    assert.match(stderr, /its destroy hooks are not run/);
  });
  it("removes a container whose creation was cut off", async () => {
    const engine: Partial<Engine> = {
      readConfig: () => Promise.reject(new IsletError("ISLET_PARTIAL", "")),
      destroy: () => Promise.resolve(),
    };
    assert.equal((await tool(["lxc-destroy", "web"], { engine })).status, 0);
  });
  it("removes snapshots and dependent clones first with -s", async () => {
    const removed: string[] = [];
    const copies: Readonly<Record<string, readonly ContainerId[]>> = {
      web: [
        { storePath: "/other", name: "clone" },
        { storePath: "/other", name: "second" },
      ],
      clone: [{ storePath: "/other", name: "second" }],
    };
    const engine: Partial<Engine> = {
      copies: ({ name }) => Promise.resolve(copies[name] ?? []),
      snapshots: ({ storePath, name }) =>
        Promise.resolve(
          name === "web"
            ? ["snap0", "snap1"].map((snap) => ({
                name: snap,
                storePath: `${storePath}/web/snaps`,
                made: null,
                comment: null,
              }))
            : [],
        ),
      readConfig: (id) => Promise.resolve({ file: `${id.storePath}/${id.name}/config`, text: "" }),
      destroy: (id) => {
        removed.push(`${id.storePath}/${id.name}`);
        return Promise.resolve();
      },
    };
    assert.equal((await tool(["lxc-destroy", "-P", "/s", "-s", "web"], { engine })).status, 0);
    assert.deepEqual(removed, ["/other/second", "/other/clone", "/s/web/snaps/snap0", "/s/web/snaps/snap1", "/s/web"]);
  });
  it("leaves snapshots alone when the container runs", async () => {
    const { status, calls } = await tool(["lxc-destroy", "-s", "web"], { configs, running: [runningContainer("web")] });
    assert.deepEqual([status, calls], [1, ["status"]]);
  });
});
