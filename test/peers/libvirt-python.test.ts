import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import type { Handlers } from "../../src/frontends/libvirt/rpc/handlers.js";
import type { TypedParameter } from "../../src/frontends/libvirt/rpc/messages.js";
import { command } from "../support/command.js";
import { descriptors, dom, type LibvirtServer, serveLibvirt } from "../support/libvirt-server.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";

/** Debian's python3-libvirt against the protocol alone: what virsh does not do. */

/** Runs a program that finds `c`, a connection, and `d`, the domain; it prints JSON of what it is given. */
async function python({ uri }: LibvirtServer, program: string): Promise<readonly unknown[]> {
  const script = `
import json, os, sys, threading, time, libvirt
libvirt.registerErrorHandler(lambda *words: None, None)
libvirt.virEventRegisterDefaultImpl()
def loop():
    while True: libvirt.virEventRunDefaultImpl()
threading.Thread(target=loop, daemon=True).start()
def say(what): print(json.dumps(what), flush=True)
c = libvirt.open(sys.argv[1])
d = c.lookupByName("t1")
${program}
`;
  const { stdout, stderr, status } = await command(["/usr/bin/python3", "-c", script, uri]);
  assert.deepEqual([stderr, status], ["", 0]);
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as unknown);
}

function serve(t: TestContext, more: Handlers = {}): LibvirtServer | null {
  return lacks(t, "python3-libvirt") ? null : serveLibvirt(t, more);
}

describe("python3-libvirt over the protocol", () => {
  it("reads and sets parameters of every type, and lists of everything", async (t) => {
    const limits: readonly TypedParameter[] = [
      { field: "hard_limit", kind: "ullong", value: 9007199254740991n },
      { field: "weight", kind: "uint", value: 300 },
      { field: "quota", kind: "llong", value: -1n },
      { field: "share", kind: "double", value: 0.5 },
      { field: "on", kind: "boolean", value: true },
      { field: "pins", kind: "int", value: -2 },
      { field: "devices", kind: "string", value: "/dev/sda,100" },
    ];
    let set: readonly TypedParameter[] = [];
    const server = serve(t, {
      DOMAIN_GET_MEMORY_PARAMETERS: ({ nparams }) =>
        nparams === 0 ? { params: [], nparams: limits.length } : { params: limits, nparams: 0 },
      DOMAIN_SET_MEMORY_PARAMETERS: ({ params }) => {
        set = params;
      },
      CONNECT_GET_ALL_DOMAIN_STATS: () => ({ retStats: [{ dom, params: limits }] }),
      NODE_GET_CPU_MAP: () => ({ cpumap: new Uint8Array([5]), online: 2, ret: 3 }),
      DOMAIN_INTERFACE_ADDRESSES: () => ({
        ifaces: [
          { name: "vnet0", hwaddr: "52:54:00:00:00:01", addrs: [{ type: 0, addr: "10.0.3.2", prefix: 24 }] },
          { name: "vnet1", hwaddr: null, addrs: [] },
        ],
      }),
      DOMAIN_GET_SECURITY_LABEL_LIST: () => ({ labels: [{ label: "svirt\0", enforcing: 1 }], ret: 1 }),
      CONNECT_LIST_ALL_NETWORKS: () => ({ nets: [{ name: "default", uuid: dom.uuid }], ret: 1 }),
      CONNECT_LIST_ALL_SECRETS: () => ({ secrets: [{ uuid: dom.uuid, usageType: 0, usageID: "" }], ret: 1 }),
      NODE_GET_INFO: () => ({
        model: "x86_64",
        memory: 4096n,
        cpus: 2,
        mhz: 1,
        nodes: 1,
        sockets: 1,
        cores: 2,
        threads: 1,
      }),
    });
    if (server === null) return;
    const expected = {
      hard_limit: 9007199254740991,
      weight: 300,
      quota: -1,
      share: 0.5,
      on: true,
      pins: -2,
      devices: "/dev/sda,100",
    };
    const said = await python(
      server,
      `say(d.memoryParameters())
d.setMemoryParameters(d.memoryParameters())
say(c.getAllDomainStats()[0][1])
say(c.getCPUMap())
say(d.interfaceAddresses(0))
say(d.securityLabelList())
say([each.name() for each in c.listAllNetworks()] + [each.UUIDString() for each in c.listAllSecrets()])
say(c.getInfo())`,
    );
    assert.deepEqual(said, [
      expected,
      expected,
      [3, [true, false, true], 2],
      {
        vnet0: { addrs: [{ addr: "10.0.3.2", prefix: 24, type: 0 }], hwaddr: "52:54:00:00:00:01" },
        vnet1: { addrs: null, hwaddr: null },
      },
      [["svirt", true]],
      ["default", dom.uuid],
      ["x86_64", 4, 2, 1, 1, 1, 2, 1],
    ]);
    assert.deepEqual(set, limits);
  });

  it("asks from many threads at once, and each gets its own answer", async (t) => {
    let most = 0;
    let running = 0;
    const server = serve(t, {
      DOMAIN_GET_BLOCK_INFO: async ({ path }) => {
        running += 1;
        most = Math.max(most, running);
        // The later it came, the sooner it is answered.
        await new Promise((resolve) => setTimeout(resolve, 100 - 4 * Number(path)));
        running -= 1;
        return { allocation: BigInt(path), capacity: 0n, physical: 0n };
      },
    });
    if (server === null) return;
    const said = await python(
      server,
      `got = [None] * 20
def ask(number): got[number] = d.blockInfo(str(number))[1]
threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
for thread in threads: thread.start()
for thread in threads: thread.join()
say(got)`,
    );
    assert.deepEqual(said, [Array.from({ length: 20 }, (_, number) => number)]);
    assert.equal(most, 5);
  });

  it("finishes streams, aborts them, and sees their end; the connection goes on", async (t) => {
    const before = descriptors();
    const server = serve(t);
    if (server === null) return;
    const echoing = (async () => {
      for (let index = 0; index < 3; index += 1) {
        const guest = await waitFor("a console", () => server.guests[index]);
        guest.on("data", (bytes: Buffer) => {
          guest.write(bytes.toString().toUpperCase());
          if (bytes.includes("q")) guest.end();
        });
      }
    })();
    const said = await python(
      server,
      `def open(typed):
    stream = c.newStream(0)
    d.openConsole(None, stream, 0)
    stream.send(typed)
    return stream
for end in ["finish", "abort"]:
    stream = open(b"abc")
    got = b""
    while len(got) < 3: got += stream.recv(100)
    getattr(stream, end)()
    say([end, got.decode()])
stream = open(b"quit")
got = b""
while True:
    part = stream.recv(100)
    if not part: break
    got += part
stream.finish()
say(["end", got.decode(), d.state()])`,
    );
    await echoing;
    assert.deepEqual(said, [
      ["finish", "ABC"],
      ["abort", "ABC"],
      ["end", "QUIT", [1, 1]],
    ]);
    await waitFor("all descriptors closed", () => descriptors() <= before + 4);
  });

  it("is told that the server goes, and answered while it asks whether it is there", async (t) => {
    const server = serve(t, { DOMAIN_DESTROY: () => new Promise((resolve) => setTimeout(resolve, 3500)) });
    if (server === null) return;
    setTimeout(server.close, 4500);
    const said = await python(
      server,
      `reasons = []
c.registerCloseCallback(lambda connection, reason, data: reasons.append(reason), None)
c.setKeepAlive(1, 1)
d.destroy()
say(c.isAlive())
while not reasons: time.sleep(0.05)
say(reasons)`,
    );
    assert.deepEqual(said, [1, [0]]);
  });
});
