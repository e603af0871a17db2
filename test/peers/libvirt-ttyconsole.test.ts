import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { closeSync, constants, existsSync, openSync, readSync, statSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { cleanup, type Cleaner } from "../support/cleanup.js";
import { lacks } from "../support/skip.js";
import { type VirshPlace, virshPlace } from "../support/virsh.js";
import { waitFor } from "../support/wait.js";

/** The ptys of the host that stand for a domain's consoles. */

async function create(place: VirshPlace, name: string, words: readonly string[], consoles = 1): Promise<string> {
  const root = place.rootfs(name);
  const file = join(root, "..", `${name}.xml`);
  const [init = "", ...args] = words;
  writeFileSync(
    file,
    `<domain type='lxc'><name>${name}</name><memory>65536</memory><os><type>exe</type><init>${init}</init>${args
      .map((arg) => `<initarg>${arg}</initarg>`)
      .join("")}</os><features><privnet/></features>
<devices><filesystem type='mount'><source dir='${root}'/><target dir='/'/></filesystem>${"<console type='pty'/>".repeat(consoles)}</devices></domain>`,
  );
  await place.ok("create", file);
  return root;
}

interface Looker {
  readonly type: (text: string) => void;
  /** Everything since the last call that found what it wanted. */
  readonly sees: (wanted: string) => Promise<string>;
  readonly close: () => void;
}

/** As cat and echo would: it changes nothing of the terminal. */
function look(t: Cleaner, path: string): Looker {
  const fd = openSync(path, constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK);
  let isOpen = true;
  let text = "";
  const read = (): void => {
    const bytes = Buffer.alloc(65536);
    try {
      text += bytes.toString("utf8", 0, readSync(fd, bytes));
    } catch {
      // Nothing yet.
    }
  };
  const close = (): void => {
    if (isOpen) closeSync(fd);
    isOpen = false;
  };
  cleanup(t)(close);
  return {
    type: (typed) => void writeSync(fd, typed),
    sees: async (wanted) => {
      await waitFor(`"${wanted}" on ${path}`, () => {
        read();
        return text.includes(wanted);
      });
      const seen = text;
      text = "";
      return seen;
    },
    close,
  };
}

test("the path of virsh ttyconsole is a pty of the host on which the guest's shell answers, also to the next daemon's clients", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const place = await virshPlace(t);
  const { own, ok } = place;
  await create(place, "t2", ["/bin/sh"]);
  const path = (await ok("ttyconsole", "t2")).trim();
  assert.match(path, /^\/dev\/pts\/\d+$/);
  const { mode, uid } = statSync(path);
  assert.deepEqual([mode & 0o170777, uid], [0o020600, 0]);
  const xml = await ok("dumpxml", "t2");
  const lines = xml.slice(xml.indexOf("<console"), xml.indexOf("</console>")).split("\n");
  assert.deepEqual(lines.map((line) => line.trim()).slice(0, 4), [
    `<console type='pty' tty='${path}'>`,
    `<source path='${path}'/>`,
    "<target type='lxc' port='0'/>",
    "<alias name='console0'/>",
  ]);
  const inactive = await ok("dumpxml", "t2", "--inactive");
  assert.ok(!inactive.includes(path));

  const looker = look(t, path);
  looker.type("echo $((40 + 2)) of one\n");
  await looker.sees("42 of one");
  // Nothing that is printed is typed to the guest again, whatever becomes of the terminal's mode.
  assert.equal((await place.command(["stty", "-F", path, "sane"])).status, 0);
  looker.type("echo storm\n");
  await looker.sees("\nstorm");
  looker.type("echo $((1 + 1)) is the end\n");
  assert.ok(!(await looker.sees("2 is the end")).includes("not found"));

  await own.restart();
  assert.equal((await ok("ttyconsole", "t2")).trim(), path);
  looker.type("echo $((40 + 3)) of one\n");
  await looker.sees("43 of one");
  const other = look(t, path);
  looker.close();
  other.type("echo $((40 + 4)) of other\n");
  await other.sees("44 of other");
  other.close();

  await ok("destroy", "t2");
  await waitFor("the pty to go", () => !existsSync(path));
});

test("virsh console and the pty are at the same console at the same time", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh") || lacks(t, "python3-libvirt")) return;
  const place = await virshPlace(t);
  const { ok } = place;
  await create(place, "t2", ["/bin/sh"]);
  const looker = look(t, (await ok("ttyconsole", "t2")).trim());
  const program = `
import libvirt, sys
stream = (conn := libvirt.open("lxc:///system")).newStream(0)
conn.lookupByName("t2").openConsole(None, stream, 0)
stream.send(b"echo $((40 + 2)) by virsh\\n")
got = b""
while b"43 by path" not in got:
    got += stream.recv(1000)
assert b"42 by virsh" in got
stream.finish()
print("seen")
`;
  const seen = place.command(["/usr/bin/python3", "-c", program]);
  await looker.sees("42 by virsh");
  looker.type("echo $((40 + 3)) by path\n");
  await looker.sees("43 by path");
  const { stdout, stderr } = await seen;
  assert.deepEqual([stdout, stderr], ["seen\n", ""]);
});

test("a guest that prints much never waits: nobody looks, or somebody who does not read", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const place = await virshPlace(t);
  const { ok } = place;
  const loud =
    "i=0; while [ $i -lt 20000 ]; do echo $i of a line that is rather long; i=$((i+1)); done; echo over &gt; /done; sleep 1000";
  const root = await create(place, "loud", ["/bin/sh", "-c", loud]);
  const path = (await ok("ttyconsole", "loud")).trim();
  // He opens it and then goes to lunch.
  const idle = spawn("sh", ["-c", `exec 3<>${path}; exec sleep 1000`], { stdio: "ignore" });
  cleanup(t)(() => void idle.kill("SIGKILL"));
  await waitFor("the guest to have said all", () => existsSync(join(root, "done")));
  // What was said last is there to be read.
  await look(t, path).sees("19999 of a line that is rather long");
});

test("whoever reads the pty, if slowly, gets all that the guest prints", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const place = await virshPlace(t);
  const { ok } = place;
  await create(place, "t2", ["/bin/sh"]);
  const looker = look(t, (await ok("ttyconsole", "t2")).trim());
  looker.type("i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done; echo $((40 + 2)) over\n");
  const seen = await looker.sees("42 over");
  assert.equal(seen.match(/^line \d+\r$/gm)?.length, 5000);
});

test("each further console has a path of its own, which is silent while somebody has that console", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh") || lacks(t, "python3-libvirt")) return;
  const place = await virshPlace(t);
  const { ok } = place;
  const shells =
    'for n in 2 3; do setsid sh -c "exec sh -i &lt;/dev/tty$n &gt;/dev/tty$n 2&gt;&amp;1" &amp; done; exec sleep 1000';
  await create(place, "t2", ["/bin/sh", "-c", shells], 3);
  const xml = await ok("dumpxml", "t2");
  const paths = [...xml.matchAll(/<source path='(\/dev\/pts\/\d+)'\/>/g)].map(([, path = ""]) => path);
  assert.equal(new Set(paths).size, 3);
  assert.equal(xml.match(/ tty='/g)?.length, 1);
  const [, second = "", third = ""] = paths;
  const [one, two] = [look(t, second), look(t, third)];
  one.type("echo $((40 + 2)) on $(tty)\n");
  two.type("echo $((40 + 3)) on $(tty)\n");
  await one.sees("42 on /dev/tty2");
  await two.sees("43 on /dev/tty3");
  const program = `
import libvirt
stream = (conn := libvirt.open("lxc:///system")).newStream(0)
conn.lookupByName("t2").openConsole("console1", stream, 0)
stream.send(b"echo $((40 + 4)) by virsh\\n")
got = b""
while b"44 by virsh" not in got:
    got += stream.recv(1000)
stream.finish()
print("answered")
`;
  const { stdout, stderr } = await place.command(["/usr/bin/python3", "-c", program]);
  assert.deepEqual([stdout, stderr], ["answered\n", ""]);
  one.type("echo $((40 + 5)) again\n");
  assert.ok(!(await one.sees("45 again")).includes("44 by virsh"));
});
