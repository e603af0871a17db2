import assert from "node:assert/strict";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { frameTypes } from "../../src/frontends/libvirt/rpc/frame.js";
import { descriptorCount } from "../support/leaks.js";
import { bareClient, callFrame, libvirtClient, nothing, rawFrame, type WireClient } from "../support/libvirt-wire.js";
import type { Assault, Outcome } from "../support/plain-peer.js";
import { plainUsers } from "../support/plain-user.js";
import { lacks } from "../support/skip.js";
import { virshPlace, type VirshPlace } from "../support/virsh.js";
import { waitFor } from "../support/wait.js";

/** Clients of libvirt's sockets that lie, stall and vanish, at a real daemon: it stays as it was, and others are served. */

const mebibyte = 1 << 20;
const everything = { need_results: 1, flags: 0 } as const;
const residentBytes = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024;
const words = (...values: readonly number[]): Buffer => {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, index) => bytes.writeUInt32BE(value, 4 * index));
  return bytes;
};

/** `init`: a shell command; null: nothing is there to start. */
function definition(place: VirshPlace, name: string, init: string): string {
  return `<domain type='lxc'><name>${name}</name><memory unit='KiB'>65536</memory><features><privnet/></features>
<os><type>exe</type><init>/bin/sh</init><initarg>-c</initarg><initarg>${init}</initarg></os>
<devices><filesystem type='mount'><source dir='${place.rootfs(name)}'/><target dir='/'/></filesystem>
<console type='pty'/></devices></domain>`;
}

interface Watched {
  /** Somebody else's list, which has to come within two seconds. */
  readonly isServed: () => Promise<void>;
  /** The daemon is the same, with the descriptors of the beginning and about its memory. */
  readonly isAsBefore: () => Promise<void>;
  readonly other: WireClient;
}

/** `memory`: bytes by which the daemon may have grown for good; a collector of garbage keeps some. */
async function watched(place: VirshPlace, other: WireClient, memory = 64 * mebibyte): Promise<Watched> {
  const pid = place.own.pid();
  await other.call("CONNECT_LIST_ALL_DOMAINS", everything);
  const descriptors = descriptorCount(pid);
  const resident = residentBytes(pid);
  return {
    other,
    isServed: async () => {
      await other.call("CONNECT_LIST_ALL_DOMAINS", everything, 2000);
    },
    isAsBefore: async () => {
      assert.equal(place.own.pid(), pid);
      await waitFor(`${descriptors} descriptors`, () => descriptorCount(pid) <= descriptors);
      await waitFor("the memory of the beginning", () => residentBytes(pid) < resident + memory);
      await other.call("CONNECT_LIST_ALL_DOMAINS", everything, 2000);
    },
  };
}

test("whoever breaks the protocol loses the connection and nothing else happens", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const place = await virshPlace(t);
  const watch = await watched(place, await libvirtClient(t, place.socket));
  const file = openSync("/dev/null", "r");
  t.after(() => {
    closeSync(file);
  });
  const fds = (count: number): readonly number[] => Array.from({ length: count }, () => file);
  const list = callFrame("CONNECT_LIST_ALL_DOMAINS", everything);
  const withFds = (promised: number): Uint8Array =>
    rawFrame(1, Buffer.concat([words(promised), Buffer.alloc(4)]), { type: frameTypes.callWithFds });
  const isCut: readonly (readonly [string, Uint8Array, readonly number[]])[] = [
    ["a length of 0", words(0, 0, 0, 0, 0, 0, 0), []],
    ["a length below that of a head", words(27, 0, 0, 0, 0, 0, 0), []],
    ["a length beyond all messages", words(0xffffffff, 0x20008086, 1, 1, 0, 1, 0), []],
    ["much before it has opened the connection", words(mebibyte, 0x20008086, 1, 1, 0, 1, 0), []],
    ["no protocol at all", Buffer.from("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), []],
    ["33 descriptors in one message", withFds(33), fds(33)],
    ["200 descriptors", withFds(1), fds(200)],
    ["a promise of 2^32-1 descriptors", withFds(0xffffffff), []],
    ["more descriptors promised than there are", Buffer.concat([withFds(3), Buffer.alloc(3)]), fds(2)],
    ["descriptors with a message that has none", list, fds(4)],
  ];
  for (const [what, bytes, given] of isCut) {
    const client = bareClient(t, place.socket);
    assert.equal(client.send(bytes, given), bytes.length, what);
    await waitFor(`the end of the connection after ${what}`, () => client.isOver(), { timeout: 3000 });
    await watch.isServed();
    client.close();
  }
  await watch.isAsBefore();

  // Those who only stop wait for themselves.
  const waits: readonly (readonly [string, Uint8Array, readonly number[]])[] = [
    ["ten bytes", list.subarray(0, 10), []],
    ["a head", list.subarray(0, 28), []],
    ["the promise of 32 MiB", words(32 * mebibyte, 0x20008086, 1, 1, 0, 1, 0), []],
    ["descriptors that are to come", withFds(2), fds(1)],
  ];
  const clients: WireClient[] = [];
  for (const [what, bytes, given] of waits) {
    const client = await libvirtClient(t, place.socket);
    assert.equal(client.send(bytes, given), bytes.length, what);
    clients.push(client);
  }
  await new Promise((resolve) => setTimeout(resolve, 500));
  await watch.isServed();
  for (const [index, client] of clients.entries()) assert.ok(!client.isOver(), waits[index]?.[0]);
  // Ten bytes and the others later are a call.
  await clients[0]?.sendAll(list.subarray(10));
  assert.equal((await clients[0]?.reply(1))?.status, 0);
  for (const client of clients) client.close();
  await watch.isAsBefore();
});

test("what a client does not read is not kept for it", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const place = await virshPlace(t);
  const other = await libvirtClient(t, place.socket);
  const { dom } = await other.call("DOMAIN_DEFINE_XML", { xml: definition(place, "loud", "exec yes") });
  await other.call("DOMAIN_CREATE", { dom });
  const watch = await watched(place, other);
  const pid = place.own.pid();
  const before = residentBytes(pid);

  // Answers: no more calls are taken.
  const greedy = await libvirtClient(t, place.socket);
  const ask = callFrame("CONNECT_GET_CAPABILITIES", {});
  let sent = 0;
  for (let idle = 0; idle < 50 && sent < 8 * mebibyte;) {
    const taken = greedy.send(ask);
    assert.ok(taken !== "over");
    sent += taken;
    idle = taken === 0 ? idle + 1 : 0;
    if (taken === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.ok(sent < 2 * mebibyte, `${sent} bytes of calls were taken without an answer read`);
  await watch.isServed();

  // A console: its guest waits.
  const bored = await libvirtClient(t, place.socket);
  const { dom: running } = await bored.call("DOMAIN_LOOKUP_BY_NAME", { name: "loud" });
  await bored.call("DOMAIN_OPEN_CONSOLE", { dom: running, dev_name: null, flags: 0 });
  for (let round = 0; round < 10; round += 1) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    await watch.isServed();
  }

  // Events: it is not heard of again. Whoever reads gets them all.
  const deaf = await libvirtClient(t, place.socket);
  const keen = await libvirtClient(t, place.socket);
  const metadata = 23;
  for (const client of [deaf, keen])
    await client.call("CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY", { eventID: metadata, dom: null });
  let heard = 0;
  for (let round = 0; round < 20; round += 1) {
    const change = { type: 2, metadata: "<x/>", key: "k", uri: "u".repeat(200_000), flags: 1 };
    await other.call("DOMAIN_SET_METADATA", { dom: running, ...change });
    heard += keen.take().length;
  }
  await waitFor("all of the events", () => (heard += keen.take().length) === 20);
  await waitFor("the end of the connection", () => deaf.isOver());
  const grown = residentBytes(pid) - before;
  assert.ok(grown < 96 * mebibyte, `${Math.round(grown / mebibyte)} MiB`);
  for (const client of [greedy, bored, deaf, keen]) client.close();
  await watch.isAsBefore();
  await other.call("DOMAIN_DESTROY", { dom: running });
});

test("500 clients at once are all served; beyond 1000 they are turned away and the others live", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const place = await virshPlace(t);
  const other = await libvirtClient(t, place.socket);
  await other.call("DOMAIN_DEFINE_XML", { xml: definition(place, "one", "exec sleep 1000") });
  const watch = await watched(place, other, 96 * mebibyte);

  const clients = await Promise.all(Array.from({ length: 500 }, () => libvirtClient(t, place.socket)));
  const answers = await Promise.all(clients.map((each) => each.call("CONNECT_LIST_ALL_DOMAINS", everything, 20_000)));
  for (const { domains } of answers)
    assert.deepEqual(
      domains.map(({ name }) => name),
      ["one"],
    );
  // With the other one there are 501.
  const more: WireClient[] = [];
  for (let index = 0; index < 600; index += 1) {
    more.push(bareClient(t, place.socket));
    // As many as the kernel's queue takes at a time.
    if (index % 100 === 99) await watch.isServed();
  }
  const refused = (): number => more.filter((each) => each.isOver()).length;
  await waitFor("101 to be turned away", () => refused() >= 101);
  await watch.isServed();
  assert.equal(refused(), 101);
  await Promise.all(clients.map((each) => each.call("CONNECT_LIST_ALL_DOMAINS", everything, 20_000)));
  for (const each of [...clients, ...more]) each.close();
  await watch.isAsBefore();
  await libvirtClient(t, place.socket);
});

test("clients that end in the middle of everything leave nothing", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const place = await virshPlace(t);
  const other = await libvirtClient(t, place.socket);
  const { dom } = await other.call("DOMAIN_DEFINE_XML", {
    xml: definition(place, "middle", "trap 'exit 0' TERM; while :; do sleep 1; done"),
  });
  await other.call("DOMAIN_CREATE", { dom });
  const { dom: running } = await other.call("DOMAIN_LOOKUP_BY_NAME", { name: "middle" });
  const watch = await watched(place, other);
  const file = openSync("/dev/null", "r");
  t.after(() => {
    closeSync(file);
  });
  const leavings: readonly ((client: WireClient) => Promise<unknown> | number | "over")[] = [
    (client) => client.call("DOMAIN_OPEN_CONSOLE", { dom: running, dev_name: null, flags: 0 }),
    (client) => client.send(callFrame("DOMAIN_OPEN_CONSOLE", { dom: running, dev_name: null, flags: 0 })),
    (client) => client.send(callFrame("CONNECT_LIST_ALL_DOMAINS", everything).subarray(0, 31)),
    // Namespaces as descriptors that nobody takes.
    (client) => {
      const args = callFrame("DOMAIN_GET_STATE", { dom: running, flags: 0 }).subarray(28);
      return client.send(rawFrame(1, args, { program: 0x8000 }));
    },
    (client) => client.send(rawFrame(1, Buffer.concat([words(3), nothing]), { type: frameTypes.callWithFds }), [file]),
    (client) => client.call("CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY", { eventID: 0, dom: null }),
    (client) => client.send(callFrame("DOMAIN_REBOOT", { dom: running, flags: 0 }).subarray(0, 40)),
  ];
  for (let round = 0; round < 5; round += 1) {
    for (const leave of leavings) {
      const client = await libvirtClient(t, place.socket);
      await leave(client);
      client.close();
    }
    await watch.isServed();
  }
  await watch.isAsBefore();
  assert.deepEqual(await other.call("DOMAIN_GET_STATE", { dom: running, flags: 0 }), { state: 1, reason: 1 });
  // A stop that nobody waits for any more is made all the same.
  const hasty = await libvirtClient(t, place.socket);
  hasty.send(callFrame("DOMAIN_DESTROY", { dom: running }));
  hasty.close();
  await waitFor("its end", async () => (await other.call("DOMAIN_GET_STATE", { dom: running, flags: 0 })).state === 5);
});

test("a user who is not root cannot connect", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const place = await virshPlace(t);
  for (const directory of [place.own.runtimeDir, place.sockets])
    for (const name of ["libvirt-sock", "libvirt-sock-ro"]) {
      const input: Assault = {
        path: join(directory, name),
        uid: plainUsers.ann.id,
        connections: 1,
        bytes: "",
        descriptors: 0,
        areLingering: false,
        patience: 500,
      };
      const peer = [process.execPath, join(import.meta.dirname, "../support/plain-peer.js")];
      const { stdout } = await place.own.command(peer, { input: JSON.stringify(input) });
      assert.deepEqual(JSON.parse(stdout) as Outcome, { answers: [], errors: ["EACCES"] }, input.path);
    }
});
