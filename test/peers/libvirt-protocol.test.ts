import assert from "node:assert/strict";
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, openSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { command, ok } from "../support/command.js";
import { descriptors, dom, serveLibvirt } from "../support/libvirt-server.js";
import { libvirtClient, rawFrame } from "../support/libvirt-wire.js";
import { testDir } from "../support/paths.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";

/** Debian's virsh against the protocol alone. */

/** virDomainDefineXML's number. */
const defineXml = 11;

/** Before a person, as it were. */
const atTerminal = (uri: string, words: string): ChildProcessWithoutNullStreams =>
  spawn("script", ["-qec", `exec virsh -c '${uri}' ${words}`, "/dev/null"]);

describe("virsh over the protocol", () => {
  it("lists, looks up, and gets answers of any size", async (t) => {
    if (lacks(t, "virsh")) return;
    const name = `${"x".repeat(3_000_000)}.example`;
    const { uri, virsh } = serveLibvirt(t, { CONNECT_GET_HOSTNAME: () => ({ hostname: name }) });
    assert.match((await virsh("list", "--all")).stdout, new RegExp(` ${process.pid} +t1 +running`));
    assert.equal((await virsh("domuuid", "t1")).stdout.trim(), dom.uuid);
    assert.equal((await virsh("hostname")).stdout.trim(), name);
    assert.equal((await virsh("uri")).stdout.trim(), uri);
    assert.match((await virsh("domstate", "t2")).stderr, /failed to get domain 't2'/);
    const capped = await virsh("domtime", "t1");
    assert.match(capped.stderr, /this function is not supported by the connection driver: virDomainGetTime/);
    const elsewhere = await command(["virsh", "-c", uri.replace("/system", "/foo"), "list"]);
    assert.match(elsewhere.stderr, /internal error: Unexpected LXC URI path '\/foo', try lxc:\/\/\/system/);
    assert.equal(elsewhere.status, 1);
  });

  it("sends and gets no longer strings than libvirt's", async (t) => {
    if (lacks(t, "virsh")) return;
    const most = 4_194_304;
    const { path, virsh } = serveLibvirt(t, {
      DOMAIN_GET_XML_DESC: () => ({ xml: "x".repeat(most + 1) }),
      DOMAIN_DEFINE_XML_FLAGS: () => ({ dom }),
      DOMAIN_DEFINE_XML: () => ({ dom }),
    });
    assert.match((await virsh("dumpxml", "t1")).stderr, /^error: Unable to encode message payload$/m);
    const file = join(mkdtempSync(join(testDir, "long-")), "d.xml");
    t.after(() => rmSync(dirname(file), { recursive: true }));
    writeFileSync(file, "x".repeat(most + 1));
    assert.match((await virsh("define", file)).stderr, /File '.*' is too large|Unable to encode message payload/);
    const client = await libvirtClient(t, path);
    assert.deepEqual(await client.call("DOMAIN_DEFINE_XML", { xml: "x".repeat(most) }), { dom });
    // What follows the length of such a string need not come: it is refused by its length.
    const long = new Uint8Array(most + 8);
    new DataView(long.buffer).setUint32(0, most + 1);
    await client.sendAll(rawFrame(defineXml, long, { serial: 77 }));
    const { status, payload } = await client.reply(77);
    assert.equal(status, 1);
    assert.match(new TextDecoder().decode(payload), /Unable to decode message payload/);
  });

  it("is answered within a second while its call takes four", async (t) => {
    if (lacks(t, "virsh")) return;
    const { virsh } = serveLibvirt(t, { DOMAIN_DESTROY: () => new Promise((resolve) => setTimeout(resolve, 4000)) });
    const { stdout, status } = await virsh("-k", "1", "-K", "1", "destroy", "t1");
    assert.match(stdout, /Domain 't1' destroyed/);
    assert.equal(status, 0);
  });

  it("that only reads is told what it may not do", async (t) => {
    if (lacks(t, "virsh")) return;
    const { virsh } = serveLibvirt(t, { DOMAIN_DESTROY: () => undefined });
    const { stderr, status } = await virsh("-r", "destroy", "t1");
    assert.match(stderr, /operation forbidden: read only access prevents virDomainDestroy/);
    assert.equal(status, 1);
  });

  it("hands descriptors over, and gets some", async (t) => {
    if (lacks(t, "virsh") || lacks(t, "root")) return;
    let passed: readonly string[] = [];
    const { uri, virsh } = serveLibvirt(t, {
      DOMAIN_CREATE_WITH_FILES: (_, call) => {
        passed = call.fds.map((fd) => readlinkSync(`/proc/self/fd/${fd}`));
        return { dom };
      },
      LXC_DOMAIN_OPEN_NAMESPACE: (_, call) => {
        for (const name of ["user", "ipc", "uts", "net", "pid", "mnt"])
          call.replyWith(openSync(`/proc/self/ns/${name}`, "r"));
      },
      DOMAIN_GET_STATE: () => ({ state: 5, reason: 0 }),
      DOMAIN_LOOKUP_BY_NAME: () => ({ dom: { ...dom, id: -1 } }),
    });
    const before = descriptors();
    await ok(["sh", "-c", `exec virsh -c '${uri}' start --pass-fds 7,8 t1 7</etc/passwd 8</etc/group`]);
    assert.deepEqual(passed, ["/etc/passwd", "/etc/group"]);
    const inside = await virsh("lxc-enter-namespace", "t1", "--noseclabel", "--", "/bin/readlink", "/proc/self/ns/net");
    assert.equal(inside.stdout.trim(), readlinkSync("/proc/self/ns/net"));
    await waitFor("all descriptors closed", () => descriptors() <= before);
  });

  it("hears of events", async (t) => {
    if (lacks(t, "virsh")) return;
    const ids: number[] = [];
    const { virsh } = serveLibvirt(t, {
      CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY: ({ eventID }, { client }) => {
        ids.push(eventID);
        if (eventID === 0)
          setTimeout(() => {
            client.push("DOMAIN_EVENT_CALLBACK_LIFECYCLE", { callbackID: 0, msg: { dom, event: 2, detail: 0 } });
          }, 300);
        return { callbackID: eventID };
      },
      CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY: () => undefined,
    });
    const { stdout } = await virsh("event", "--all", "--timeout", "2");
    assert.match(stdout, /event 'lifecycle' for domain 't1': Started Booted/);
    assert.ok(ids.length >= 24, `${ids.length} kinds`);
  });

  it("sees all that a guest prints, and the guest gets what is typed", async (t) => {
    if (lacks(t, "virsh")) return;
    const { uri, guests } = serveLibvirt(t);
    const lines = Array.from({ length: 20_000 }, (_, index) => `line ${index} of the flood`);
    const child = atTerminal(uri, "console t1");
    let shown = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (shown += text));
    // From then on its terminal is raw.
    const guest = await waitFor("a console", () => guests[0]);
    let typed = "";
    guest.on("data", (bytes: Buffer) => {
      typed += bytes.toString();
      if (typed === "print\r") guest.write(`${lines.join("\r\n")}\r\n`);
    });
    const end = once(child, "close");
    child.stdin.write("print\r");
    // At the end of a stream virsh forgets what its terminal has not taken yet.
    await waitFor("the last line", () => shown.includes(lines.at(-1) ?? ""));
    guest.end();
    await end;
    assert.equal(child.exitCode, 0);
    assert.equal([...shown.matchAll(/^line (\d+) of the flood/gm)].length, lines.length);
    assert.ok(shown.includes(lines.join("\r\n")), "in order");
  });

  it("leaves nothing behind when it is killed at a console", async (t) => {
    if (lacks(t, "virsh")) return;
    const { uri, guests, changes } = serveLibvirt(t);
    const before = descriptors();
    const child = atTerminal(uri, "console t1");
    child.stdout.resume();
    const guest = await waitFor("a console", () => guests[0]);
    // A guest that prints without end is held up, not held.
    guest.on("error", () => undefined);
    const printing = setInterval(() => {
      if (!guest.writableNeedDrain && !guest.destroyed) guest.write(Buffer.alloc(100_000, "y\r\n"));
    }, 1);
    t.after(() => {
      clearInterval(printing);
    });
    let over = false;
    guest.on("close", () => {
      over = true;
    });
    guest.resume();
    await new Promise((resolve) => setTimeout(resolve, 300));
    child.kill("SIGKILL");
    await waitFor("the end of its console", () => over || guest.readableEnded);
    guest.destroy();
    await waitFor("its end", () => changes() === 2);
    await waitFor("all descriptors closed", () => descriptors() <= before);
  });

  it("500 clients at a time are all answered", async (t) => {
    const { path, changes } = serveLibvirt(t, { CONNECT_GET_HOSTNAME: () => ({ hostname: "vm" }) });
    // CONNECT_OPEN without a name, then CONNECT_GET_HOSTNAME.
    const asks = Buffer.from(
      "000000242000808600000001000000010000000000000000000000000000000000000000" +
        "0000001c20008086000000010000003b000000000000000100000000",
      "hex",
    );
    const answers =
      "0000001c2000808600000001000000010000000100000000000000000000002420008086000000010000003b00000001000000010000000000000002766d0000";
    const sockets = Array.from({ length: 500 }, () => connect(path));
    t.after(() => {
      for (const socket of sockets) socket.destroy();
    });
    const heard = await Promise.all(
      sockets.map(
        (socket) =>
          new Promise<string>((resolve, reject) => {
            let text = "";
            socket.on("error", reject);
            socket.on("data", (bytes) => {
              text += bytes.toString("hex");
              if (text.length >= answers.length) resolve(text);
            });
            socket.write(asks);
          }),
      ),
    );
    assert.deepEqual([...new Set(heard)], [answers]);
    for (const socket of sockets) socket.destroy();
    await waitFor("their end", () => changes() === 1000);
  });
});
