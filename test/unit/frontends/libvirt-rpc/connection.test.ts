import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { IsletError } from "../../../../src/base/errors.js";
import { LibvirtError } from "../../../../src/frontends/libvirt/errors.js";
import type { Client, Handlers } from "../../../../src/frontends/libvirt/rpc/handlers.js";
import { programs } from "../../../../src/frontends/libvirt/rpc/procedures.js";
import { root } from "../../../support/paths.js";
import { waitFor } from "../../../support/wait.js";
import { argsOf, connectTo, errorOf, frameOf, ping, type TestClient, turn } from "./client.js";

const dom = { name: "t1", uuid: "4de601c5-e42e-4721-81c9-7abc8ac07934", id: -1 };
const hostname = 59;
const lookupByName = 23;
const destroy = 12;
const createWithFiles = 310;
const named = (name: string): Uint8Array => argsOf(lookupByName, { name });

interface Probe {
  readonly label: string;
  readonly request_hex?: string;
  readonly reply_hex?: string;
  readonly reply?: unknown;
}
const probes = JSON.parse(
  readFileSync(join(root, "test/golden/libvirt/vectors/97-raw-probes.json"), "utf8"),
) as readonly Probe[];

/** What the drivers of the captured daemon answered. */
const captured: Handlers = {
  CONNECT_GET_HOSTNAME: () => ({ hostname: "vm" }),
  DOMAIN_LOOKUP_BY_NAME: ({ name }) => {
    throw new LibvirtError(42, 17, `No domain with matching name '${name}'`);
  },
  CONNECT_DOMAIN_EVENT_REGISTER: () => ({ cb_registered: 0 }),
  CONNECT_DOMAIN_EVENT_DEREGISTER: () => ({ cb_registered: 0 }),
  CONNECT_DOMAIN_EVENT_REGISTER_ANY: () => undefined,
  CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY: ({ eventID }) => {
    throw new LibvirtError(1, 7, `unsupported event ID ${eventID}`);
  },
  CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY: ({ callbackID }) => {
    throw new LibvirtError(1, 7, `domain event callback ${callbackID} not registered`);
  },
  CONNECT_LIST_DOMAINS: () => ({ ids: [] }),
  CONNECT_LIST_ALL_DOMAINS: () => ({ domains: [], ret: 4 }),
  DOMAIN_GET_INFO: ({ dom: { name, uuid } }) => {
    if (uuid !== dom.uuid) throw new LibvirtError(42, 17, `no domain with matching uuid '${uuid}' (${name})`);
    return { state: 5, maxMem: 45_000n, memory: 45_000n, nrVirtCpu: 1, cpuTime: 0n };
  },
  DOMAIN_GET_XML_DESC: ({ flags }) => {
    throw new LibvirtError(8, 17, `unsupported flags (0x${flags.toString(16)}) in function lxcDomainGetXMLDesc`, {
      bare: true,
    });
  },
};
/** Asked on a connection that has not been opened. */
const early = /^(call before|open (?!twice))/;
/** Where islet differs: it has one driver, no names of hypervisors to guess, and the legacy register is its driver's business. */
const different = ["open null name", "open qemu", "legacy event register twice", "getxml migratable"];

const bytesOf = (frames: ReturnType<TestClient["take"]>): string =>
  frames
    .map(({ program, version, procedure, type, serial, status, payload }) =>
      Buffer.from(frameOf(procedure, payload, { program, version, type, serial, status })).toString("hex"),
    )
    .join("");

async function probe({ label, request_hex: request = "" }: Probe): Promise<TestClient> {
  const client = connectTo(captured);
  if (!early.test(label)) client.open();
  client.send(Buffer.from(request, "hex"));
  await turn();
  return client;
}

describe("hand-made requests, as libvirt 9.0 answered them", () => {
  for (const each of probes) {
    const { label, request_hex: request, reply, reply_hex: expected } = each;
    if (request === undefined || different.includes(label)) continue;
    if (reply === "EOF")
      it(`${label}: the connection ends`, async () => {
        const client = await probe(each);
        assert.equal(client.isClosed(), true);
        assert.deepEqual(client.take(), []);
      });
    else
      it(`${label}: ${reply === "TIMEOUT" ? "no answer" : "the same answer"}`, async () => {
        const client = await probe(each);
        assert.equal(client.isClosed(), false);
        assert.equal(bytesOf(client.take()), expected ?? "");
      });
  }

  it("features: the same are there", () => {
    const client = connectTo({});
    for (const { label, reply_hex: expected } of probes) {
      const [, feature] = /^feature (\d+)$/.exec(label) ?? [];
      if (feature === undefined || Number(feature) === 99) continue;
      client.call(60, argsOf(60, { feature: Number(feature) }), 2);
      assert.equal(bytesOf(client.take()), expected, label);
    }
  });
});

describe("a connection", () => {
  it("is opened for containers of this host, and for nothing else", () => {
    const said = (name: string | null): string | null => {
      const client = connectTo({});
      client.call(1, argsOf(1, { name, flags: 0 }));
      const [frame] = client.take();
      return frame?.status === 0 ? null : `${errorOf(frame).code} ${errorOf(frame).message}`;
    };
    for (const name of [null, "", "lxc:///system", "lxc:///", "lxc://", "lxc:///system?x=1"])
      assert.equal(said(name), null);
    assert.equal(said("lxc:///foo"), "1 internal error: Unexpected LXC URI path '/foo', try lxc:///system");
    for (const name of ["qemu:///system", "lxc://host/system", "system", "lxc"])
      assert.equal(said(name), `5 no connection driver available for ${name}`);
  });

  it("knows every procedure of libvirt, but does not do them all", () => {
    const client = connectTo({});
    client.open();
    const refused = (procedure: number, args?: Uint8Array, program: number = programs.remote): readonly unknown[] => {
      client.send(frameOf(procedure, args, { program }));
      const { code, domain, message } = errorOf(client.take()[0]);
      return [code, domain, message?.replace(/^.*: /, "")];
    };
    assert.deepEqual(refused(337, argsOf(337, { dom, flags: 0 })), [3, 20, "virDomainGetTime"]);
    assert.deepEqual(refused(187, argsOf(187, { dom, flags: 0 })), [3, 35, "virDomainSnapshotNum"]);
    assert.deepEqual(refused(413, argsOf(413, { dom, need_results: 1, flags: 0 })), [
      3,
      69,
      "virDomainListAllCheckpoints",
    ]);
    assert.deepEqual(refused(443), [3, 20, "virDomainFDAssociate"]);
    assert.deepEqual(refused(1, undefined, programs.qemu), [3, 0, "virDomainQemuMonitorCommand"]);
    assert.deepEqual(refused(444), [39, 7, "444"]);
    assert.deepEqual(refused(2, undefined, programs.lxc), [39, 7, "2"]);
    assert.deepEqual(refused(0xffffffff), [39, 7, "-1"]);
  });

  it("that only reads may change nothing", async () => {
    let destroyed = 0;
    const handlers: Handlers = {
      DOMAIN_DESTROY: () => {
        destroyed += 1;
      },
    };
    const byFlag = connectTo(handlers);
    byFlag.open(1);
    const bySocket = connectTo(handlers, { readOnly: true });
    bySocket.open();
    for (const client of [byFlag, bySocket]) {
      client.call(destroy, argsOf(destroy, { dom }));
      await turn();
      const { code, domain, message } = errorOf(client.take()[0]);
      assert.deepEqual([code, domain], [29, 20]);
      assert.equal(message, "operation forbidden: read only access prevents virDomainDestroy");
    }
    assert.equal(destroyed, 0);
  });

  it("answers when the work is done, whichever call was first", async () => {
    const waiting: (() => void)[] = [];
    const client = connectTo({
      DOMAIN_DESTROY: () => new Promise<void>((resolve) => waiting.push(resolve)),
      CONNECT_GET_HOSTNAME: () => ({ hostname: "vm" }),
    });
    client.open();
    client.call(destroy, argsOf(destroy, { dom }), 3);
    client.call(hostname, undefined, 4);
    await turn();
    assert.deepEqual(
      client.take().map(({ serial }) => serial),
      [4],
    );
    waiting[0]?.();
    await turn();
    assert.deepEqual(
      client.take().map(({ serial, status }) => [serial, status]),
      [[3, 0]],
    );
  });

  it("works on five calls at a time; the next waits unread, and keepalive is answered all the same", async () => {
    const waiting: (() => void)[] = [];
    const client = connectTo({ DOMAIN_DESTROY: () => new Promise<void>((resolve) => waiting.push(resolve)) });
    client.open();
    for (let serial = 1; serial <= 5; serial += 1) client.call(destroy, argsOf(destroy, { dom }), serial);
    client.send(ping);
    assert.deepEqual(
      client.take().map(({ program, procedure, type }) => [program, procedure, type]),
      [[programs.keepalive, 2, 2]],
    );
    assert.equal(client.isPaused(), false);
    client.call(destroy, argsOf(destroy, { dom }), 6);
    assert.equal(waiting.length, 5);
    assert.equal(client.isPaused(), true);
    waiting[2]?.();
    await turn();
    assert.equal(waiting.length, 6);
    assert.equal(client.isPaused(), false);
    for (const done of waiting) done();
    await turn();
    assert.deepEqual(
      client.take().map(({ serial }) => serial),
      [3, 1, 2, 4, 5, 6],
    );
  });

  it("a client that never reads its answers is not read from either", async () => {
    const xml = "x".repeat(100_000);
    const client = connectTo({ CONNECT_GET_CAPABILITIES: () => ({ capabilities: xml }) });
    client.open();
    client.stall();
    let sent = 0;
    while (!client.isPaused() && sent < 100) {
      client.call(7, undefined, sent);
      sent += 1;
      await turn();
    }
    assert.ok(sent < 10, `${sent} calls`);
    assert.ok(client.pending() < 1_000_000);
    client.drain();
    assert.equal(client.isPaused(), false);
    await turn();
    assert.equal(client.take().length, sent);
  });

  it("a client that leaves its events unread loses its connection", async () => {
    const clients: Client[] = [];
    let gone = 0;
    const test = connectTo({
      CONNECT_NUM_OF_DOMAINS: (_, call) => {
        clients.push(call.client);
        call.client.onClose(() => (gone += 1));
        return { num: 1 };
      },
    });
    test.open();
    test.call(51);
    await turn();
    const [client] = clients;
    const push = (): void => {
      client?.push("DOMAIN_EVENT_CALLBACK_LIFECYCLE", { callbackID: 0, msg: { dom, event: 2, detail: 0 } });
    };
    push();
    const [, event] = test.take();
    assert.deepEqual([event?.procedure, event?.type, event?.status], [318, 2, 0]);
    // A client that reads may have any number.
    for (let round = 0; round < 20_000; round += 1) push();
    assert.equal(test.isClosed(), false);
    assert.equal(test.take().length, 20_000);
    test.stall();
    let pushed = 0;
    for (; !test.isClosed() && pushed < 1_000_000; pushed += 1) push();
    assert.ok(pushed > 1000 && pushed < 100_000, `${pushed} events`);
    assert.equal(gone, 1);
    push();
    let late = 0;
    client?.onClose(() => (late += 1));
    assert.equal(late, 1);
  });

  it("hands a call its descriptors, closes them afterwards, and those of calls that are refused", async () => {
    let seen: readonly number[] = [];
    const client = connectTo({
      DOMAIN_CREATE_WITH_FILES: (args, call) => {
        seen = call.fds;
        assert.deepEqual(client.closedFds, []);
        return { dom: args.dom };
      },
    });
    client.open();
    const payload = argsOf(createWithFiles, { dom, flags: 0 });
    const frame = frameOf(createWithFiles, payload, { type: 4, fds: [70, 71] });
    client.send(Buffer.concat([frame, new Uint8Array(1)]), [70]);
    client.send(new Uint8Array(1), [71]);
    await turn();
    assert.deepEqual(seen, [70, 71]);
    assert.deepEqual(client.closedFds, [70, 71]);
    // An error's answer is an ordinary one.
    for (const [procedure, fd] of [
      [lookupByName, 72],
      [9999, 73],
    ] as const) {
      client.send(Buffer.concat([frameOf(procedure, named("x"), { type: 4, fds: [fd] }), new Uint8Array(1)]), [fd]);
      await turn();
      assert.ok(client.closedFds.includes(fd));
    }
    assert.deepEqual(
      client.take().map(({ type, status }) => [type, status]),
      [
        [1, 0],
        [1, 1],
        [1, 1],
      ],
    );
    client.send(Buffer.concat([frame, new Uint8Array(1)]), [74]);
    client.leave();
    assert.deepEqual(client.closedFds.slice(4), [74]);
  });

  it("gives descriptors back behind an answer, or closes them when there is none", async () => {
    let fault: Error | null = null;
    const client = connectTo({
      LXC_DOMAIN_OPEN_NAMESPACE: (_, call) => {
        for (const fd of [80, 81]) call.replyWith(fd);
        if (fault !== null) throw fault;
      },
    });
    client.open();
    const ask = async (): Promise<ReturnType<TestClient["take"]>> => {
      client.send(frameOf(1, argsOf(1, { dom, flags: 0 }, programs.lxc), { program: programs.lxc }));
      await turn();
      return client.take();
    };
    const [answer] = await ask();
    assert.deepEqual([answer?.type, answer?.status, answer?.payload.length], [5, 0, 0]);
    assert.deepEqual(client.sentFds, [80, 81]);
    assert.deepEqual(client.closedFds, []);
    fault = new IsletError("ISLET_NOT_RUNNING", "web is not running");
    const error = errorOf((await ask())[0]);
    assert.deepEqual([error.code, error.message], [55, "Requested operation is not valid: domain is not running"]);
    assert.deepEqual(client.sentFds, [80, 81]);
    assert.deepEqual(client.closedFds, [80, 81]);
  });

  it("a fault of ours is an error to the client, however long its words are, and the connection goes on", async () => {
    const client = connectTo({
      CONNECT_GET_HOSTNAME: () => {
        throw new TypeError("y".repeat(10_000_000));
      },
      CONNECT_NUM_OF_DOMAINS: () => ({ num: 2 ** 40 }),
    });
    client.open();
    client.call(hostname);
    client.call(51);
    await turn();
    const [first, second] = client.take().map(errorOf);
    assert.equal(first?.code, 1);
    assert.match(first?.message ?? "", /^internal error: y{100,5000}$/);
    assert.deepEqual([second?.code, second?.message], [39, "Unable to encode message payload"]);
  });

  it("a stranger who has not opened it cannot make us hold much", () => {
    const client = connectTo({});
    client.send(new Uint8Array([0, 1, 0, 1]));
    assert.equal(client.isClosed(), true);
  });

  it("CONNECT_CLOSE is answered, then the connection ends", () => {
    const client = connectTo({});
    client.open();
    client.call(2, undefined, 9);
    assert.deepEqual(
      client.take().map(({ serial, status }) => [serial, status]),
      [[9, 0]],
    );
    assert.equal(client.isClosed(), true);
  });

  it("clients that want to know are told when the server ends it", () => {
    const [told, untold] = [connectTo({}), connectTo({})];
    for (const client of [told, untold]) client.open();
    told.call(360);
    assert.equal(told.take().length, 1);
    for (const client of [told, untold]) client.shutDown();
    assert.deepEqual(
      told.take().map(({ procedure, type, payload }) => [procedure, type, [...payload]]),
      [[362, 2, [0, 0, 0, 0]]],
    );
    assert.deepEqual(untold.take(), []);
    assert.ok(told.isClosed() && untold.isClosed());
  });
});

describe("keepalive", () => {
  const times = { interval: 30, tries: 3 };
  const wait = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

  it("asks nobody who has not said that it answers", async () => {
    const client = connectTo({}, { keepalive: times });
    client.open();
    await wait(200);
    assert.deepEqual(client.take(), []);
    assert.equal(client.isClosed(), false);
    client.leave();
  });

  it("asks a silent client some times, and gives it up then", async () => {
    const client = connectTo({}, { keepalive: times });
    client.call(60, argsOf(60, { feature: 10 }));
    assert.equal(client.take().length, 1);
    client.open();
    client.call(360);
    client.take();
    const began = performance.now();
    while (!client.isClosed() && performance.now() - began < 5000) await wait(5);
    assert.ok(performance.now() - began >= 115, "four times the interval");
    assert.deepEqual(
      client.take().map(({ program, procedure }) => [program, procedure]),
      [...Array.from({ length: 3 }, () => [programs.keepalive, 1]), [programs.remote, 362]],
    );
  });

  it("gives up a client that takes nothing, but not one whose calls take their time", async () => {
    const handlers: Handlers = {
      CONNECT_GET_CAPABILITIES: () => ({ capabilities: "x".repeat(300_000) }),
      DOMAIN_DESTROY: () => new Promise(() => undefined),
    };
    const [deaf, busy] = [connectTo(handlers, { keepalive: times }), connectTo(handlers, { keepalive: times })];
    for (const client of [deaf, busy]) {
      client.call(60, argsOf(60, { feature: 10 }));
      assert.equal(client.take().length, 1);
      client.open();
    }
    deaf.stall();
    deaf.call(7);
    for (let serial = 0; serial < 6; serial += 1) busy.call(destroy, argsOf(destroy, { dom }), serial);
    await turn();
    assert.ok(deaf.isPaused() && busy.isPaused());
    await waitFor("the end of the deaf one", () => deaf.isClosed());
    await wait(150);
    assert.equal(busy.isClosed(), false);
    busy.leave();
  });

  it("a client that answers, or says anything else, stays", async () => {
    const client = connectTo({}, { keepalive: times });
    client.call(60, argsOf(60, { feature: 10 }));
    assert.equal(client.take().length, 1);
    client.open();
    const pong = frameOf(2, undefined, { program: programs.keepalive, type: 2 });
    let asked = 0;
    const began = performance.now();
    while (performance.now() - began < 400) {
      for (const { program } of client.take())
        if (program === programs.keepalive) {
          asked += 1;
          client.send(pong);
        }
      await wait(5);
    }
    assert.equal(client.isClosed(), false);
    assert.ok(asked >= 2, `${asked} times`);
    client.leave();
  });
});
