import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { connect } from "../../src/index.js";
import { end } from "../support/host.js";
import { processesOf, watchTraces } from "../support/instance.js";
import { lacks } from "../support/skip.js";
import { type VirshPlace, virshPlace } from "../support/virsh.js";
import { waitFor } from "../support/wait.js";

/** The administrator's hook of libvirt is asked before and told after every run of a domain, once each and in order, whoever causes it. */

const name = "islt-hooked";
const started = ["prepare begin", "start begin", "started begin"] as const;
const ended = ["stopped end", "release end"] as const;
const sleeping = "exec sleep 1000";

interface Hooked {
  readonly place: VirshPlace;
  readonly root: string;
  readonly at: readonly string[];
  /** Waits until the hook has heard these, in this order, and nothing else; forgets them then. */
  readonly heard: (...wanted: readonly string[]) => Promise<void>;
  /** What the hook does: a line of shell that sees its operation as $2. */
  readonly does: (line: string) => void;
}

async function hooked(t: Parameters<typeof virshPlace>[0], init: string, top = ""): Promise<Hooked> {
  const place = await virshPlace(t);
  const { own, hooks } = place;
  const root = place.rootfs(name);
  const xml = join(root, "..", `${name}.xml`);
  writeFileSync(
    xml,
    `<domain type='lxc'><name>${name}</name><memory>65536</memory>
<os><type>exe</type><init>/bin/sh</init><initarg>-c</initarg><initarg>${init.replaceAll("&", "&amp;").replaceAll("<", "&lt;")}</initarg></os>
${top}<features><privnet/></features>
<devices><filesystem type='mount'><source dir='${root}'/><target dir='/'/></filesystem><console type='pty'/></devices></domain>`,
  );
  await place.ok("define", xml);
  mkdirSync(hooks);
  const log = join(hooks, "log");
  writeFileSync(log, "");
  const does = (line: string): void => {
    const fresh = join(hooks, "fresh");
    // Each document is the domain's own.
    const script = `#!/bin/sh\ngrep -q "<name>$1</name>" || exit 9\necho "$2 $3" >> ${log}\n${line}\n`;
    writeFileSync(fresh, script, { mode: 0o755 });
    renameSync(fresh, join(hooks, "lxc"));
  };
  does("");
  const lines = (): readonly string[] => readFileSync(log, "utf8").split("\n").slice(0, -1);
  return {
    place,
    root,
    at: own.store.at(name),
    does,
    async heard(...wanted) {
      await waitFor(`the hook to hear ${wanted.join(", ")}`, () => lines().length >= wanted.length).catch(
        () => undefined,
      );
      assert.deepEqual(lines(), wanted);
      writeFileSync(log, "");
    },
  };
}

test("every way to start and to end a domain", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const { place, at, heard } = await hooked(t, sleeping);
  const { own, ok } = place;
  const cut = async (...argv: readonly string[]): Promise<void> => {
    await own.ok(argv);
    await heard(...started);
    await own.ok(["lxc-stop", ...at, "-k"]);
    await heard(...ended);
  };
  await cut("lxc-start", ...at);
  await cut("lxc-start", ...at, "-s", "lxc.uts.name = other");
  await ok("autostart", name);
  await cut("lxc-autostart", "-P", own.store.path);
  await cut("lxc-execute", ...at, "-d", "--", "/bin/sleep", "1000");
  assert.equal((await own.command(["lxc-execute", ...at, "--", "/bin/sh", "-c", "exit 7"])).status, 7);
  await heard(...started, ...ended);
  for (const inProcess of [false, true]) {
    await using islet = await connect({ runtimeDirectory: own.runtimeDir, store: own.store.path, inProcess });
    const container = await islet.get(name);
    assert.ok(container?.state === "STOPPED");
    const running = await container.start();
    await heard(...started);
    await running.stop({ kill: true });
    await heard(...ended);
  }
  await ok("start", name);
  await heard(...started);
  await ok("destroy", name);
  await heard(...ended);
  // Two at once: one start.
  const both = await Promise.all([1, 2].map(() => own.command(["lxc-start", ...at])));
  assert.deepEqual(
    both.map(({ status }) => status),
    [0, 0],
  );
  await heard(...started);
  // A monitor that is killed.
  const [monitor = ""] = processesOf(own.store.path, [name]).filter((line) => line.includes("[lxc monitor]"));
  end(Number(monitor.split(" ")[0]), "SIGKILL");
  await waitFor("its end", async () => (await ok("domstate", name)).startsWith("shut off"));
  await heard(...ended);
});

test("a guest that ends at once, and one that is to be started again when it powers itself off", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const { place, at, heard, root } = await hooked(t, "exit 0");
  await place.own.ok(["lxc-start", ...at]);
  await heard(...started, ...ended);
  await place.ok("start", name);
  await heard(...started, ...ended);
  // Of a document that goes with it.
  const xml = join(root, "..", `${name}.xml`);
  await place.ok("undefine", name);
  await place.virsh(["create", xml]);
  await heard(...started, ...ended);
  const twice = "echo up >> /starts; [ $(wc -l < /starts) = 1 ] || exec sleep 1000";
  writeFileSync(
    xml,
    readFileSync(xml, "utf8")
      .replace("exit 0", twice.replaceAll("<", "&lt;"))
      .replace("<features>", "<on_poweroff>restart</on_poweroff><features>"),
  );
  await place.ok("define", xml);
  await place.own.ok(["lxc-start", ...at]);
  await heard(...started, ...ended, ...started);
  await place.ok("destroy", name);
  await heard(...ended);
});

test("a start of lxc-start that the hook refuses, or that fails, leaves nothing", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const { place, at, heard, does, root } = await hooked(t, sleeping);
  const { own, hooks, virsh, ok } = place;
  // What the daemon keeps for good is there after these.
  for (const words of [
    ["lxc-start", ...at],
    ["lxc-execute", ...at, "-d", "--", "/bin/sleep", "1000"],
  ]) {
    await own.ok(words);
    await own.ok(["lxc-stop", ...at, "-k"]);
    await heard(...started, ...ended);
  }
  const traces = await watchTraces(own, [name]);
  const refusing = (operation: string): void => {
    does(`[ "$2" != ${operation} ] || { echo "no $2 here" >&2; exit 3; }`);
  };
  const cases = [
    ["prepare", "prepare begin"],
    ["start", "prepare begin", "start begin", "release end"],
    ["started", ...started, ...ended],
  ] as const;
  for (const [operation, ...told] of cases) {
    refusing(operation);
    for (const argv of [["lxc-start"], ["lxc-start", "-F"], ["lxc-execute", "-d"]]) {
      const [tool = "", ...words] = argv;
      const command = tool === "lxc-execute" ? ["--", "/bin/sleep", "1000"] : [];
      const { status, stderr } = await own.command([tool, ...at, ...words, ...command]);
      assert.equal(status, 1);
      const line = `${tool}: ${name}: Hook script execution failed: ${hooks}/lxc ${name} ${operation} begin -: no ${operation} here`;
      assert.equal(stderr.split("\n")[0], line);
      await heard(...told);
      await traces.assertGone(`${argv.join(" ")}, ${operation} refused`);
    }
    await using islet = await connect({ runtimeDirectory: own.runtimeDir, store: own.store.path });
    const container = await islet.get(name);
    assert.ok(container?.state === "STOPPED");
    await assert.rejects(container.start(), {
      code: "ISLET_HOOK_FAILED",
      message: new RegExp(`no ${operation} here$`),
    });
    await heard(...told);
  }
  does("");
  renameSync(root, `${root}.away`);
  const failed = await own.command(["lxc-start", ...at]);
  assert.equal(failed.status, 1);
  assert.match(
    failed.stderr,
    new RegExp(
      `^lxc-start: ${name}: guest failed to start: the source ${root} of the filesystem / does not exist$`,
      "m",
    ),
  );
  await heard("prepare begin", "start begin", "release end");
  assert.equal((await virsh(["start", name])).status, 1);
  await heard("prepare begin", "start begin", "release end");
  // What a hook makes is there for the start, and it takes it away again.
  does(`case $2 in prepare) mv ${root}.away ${root};; release) mv ${root} ${root}.away;; esac`);
  await own.ok(["lxc-start", ...at]);
  await heard(...started);
  await ok("destroy", name);
  await heard(...ended);
  await waitFor("the hook to be done", () => existsSync(`${root}.away`));
  does("");
  renameSync(`${root}.away`, root);
  // One that was begun and fails late.
  const late = await own.command(["lxc-start", ...at, "-s", "lxc.mount.entry = /islt-none mnt none bind 0 0"]);
  assert.equal(late.status, 1);
  await heard("prepare begin", "start begin", "release end");
  await traces.assertGone("starts that failed");
});

test("a guest that reboots itself, and a hook that does not want it again", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const init = "trap 'reboot -f' HUP; echo up >> /starts; while :; do sleep 1000 & wait $!; done";
  const { place, at, heard, does, root } = await hooked(t, init);
  const { own, ok } = place;
  const up = (count: number): Promise<unknown> =>
    waitFor(`start ${count}`, () => {
      const file = join(root, "starts");
      return existsSync(file) && readFileSync(file, "utf8").split("\n").length > count;
    });
  const reboot = async (): Promise<void> => {
    rmSync(join(root, "starts"), { force: true });
    await ok("reboot", name);
  };
  await own.ok(["lxc-start", ...at]);
  await up(1);
  await heard(...started);
  await reboot();
  await heard(...ended, ...started);
  await up(1);
  for (const [operation, told, rest] of [
    ["prepare", ["prepare begin"], []],
    ["start", ["prepare begin", "start begin"], ["release end"]],
    ["started", started, ended],
  ] as const) {
    does(`[ "$2" != ${operation} ] || { echo "no $2 here" >&2; exit 3; }`);
    await reboot();
    await waitFor("its end", async () => (await ok("domstate", name)).startsWith("shut off"));
    await heard(...ended, ...told, ...rest);
    does("");
    rmSync(join(root, "starts"), { force: true });
    await own.ok(["lxc-start", ...at]);
    await up(1);
    await heard(...started);
  }
  await ok("destroy", name);
  await heard(...ended);
});

test("a daemon that was killed: the next one tells what is still to be told", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const { place, at, heard, does } = await hooked(t, sleeping);
  const { own, hooks } = place;
  const forgotten = (): Promise<unknown> =>
    waitFor("nothing to be noted", () => readdirSync(join(own.runtimeDir, "libvirt-hooks")).length === 0);
  const monitor = (): number =>
    Number(
      processesOf(own.store.path, [name])
        .find((line) => line.includes("[lxc monitor]"))
        ?.split(" ")[0],
    );
  // It goes on running, and ends under the next daemon, of which no client of libvirt knows.
  await own.ok(["lxc-start", ...at]);
  await heard(...started);
  await own.restart();
  await heard("reconnect begin");
  await own.ok(["lxc-stop", ...at, "-k"]);
  await heard(...ended);
  await forgotten();
  // It ends while there is no daemon; one of LXC's words, too.
  for (const argv of [
    ["lxc-start", ...at],
    ["lxc-execute", ...at, "-d", "--", "/bin/sleep", "1000"],
  ]) {
    await own.ok(argv);
    await heard(...started);
    await own.restart(async () => {
      const [guest = ""] = processesOf(own.store.path, [name]).filter((line) => !line.includes("[lxc monitor]"));
      const supervisor = monitor();
      if (guest !== "") end(Number(guest.split(" ")[0]), "SIGKILL");
      else end(supervisor, "SIGKILL");
      await waitFor("its end", () => processesOf(own.store.path, [name]).length === 0);
    });
    await heard(...ended);
    await forgotten();
  }
  // In the middle of a hook.
  const [here, go] = [join(hooks, "here"), join(hooks, "go")];
  for (const [operation, told, rest] of [
    ["prepare", ["prepare begin"], ["release end"]],
    ["start", ["prepare begin", "start begin"], ["release end"]],
    ["started", started, ["reconnect begin"]],
  ] as const) {
    does(`[ "$2" != ${operation} ] || { touch ${here}; while [ ! -e ${go} ]; do sleep 0.05; done; rm ${here}; }`);
    const starting = own.command(["lxc-start", ...at]);
    await waitFor("the hook to be called", () => existsSync(here));
    await own.restart();
    assert.notEqual((await starting).status, 0);
    await heard(...told, ...rest);
    if (operation === "started") {
      // The guest runs: what is done for it is completed.
      writeFileSync(go, "");
      await waitFor("the hook's end", () => !existsSync(here));
      rmSync(go);
    } else rmSync(here);
    does("");
  }
  await own.ok(["lxc-stop", ...at, "-k"]);
  await heard(...ended);
  await forgotten();
  await own.ok(["lxc-start", ...at]);
  await heard(...started);
  await own.ok(["lxc-stop", ...at, "-k"]);
  await heard(...ended);
});
