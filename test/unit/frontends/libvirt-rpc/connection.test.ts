import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { IsletError } from "../../../../src/base/errors.js";
import type { Client, Handlers } from "../../../../src/frontends/libvirt/rpc/handlers.js";
import { programs } from "../../../../src/frontends/libvirt/rpc/procedures.js";
import { argsOf, connectTo, errorOf, frameOf, ping, type TestClient, turn } from "./client.js";

const dom = { name: "t1", uuid: "4de601c5-e42e-4721-81c9-7abc8ac07934", id: -1 };
const hostname = 59;
const lookupByName = 23;
const destroy = 12;
const createWithFiles = 310;
const named = (name: string): Uint8Array => argsOf(lookupByName, { name });

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

  it("takes so many frames of a client that the others have their turn", async () => {
    const client = connectTo({});
    client.open();
    const pings = Buffer.concat(Array.from({ length: 1000 }, () => ping));
    client.send(pings);
    assert.equal(client.isPaused(), true);
    assert.ok(client.take().length <= 64);
    let rounds = 0;
    for (; client.isPaused() && rounds < 100; rounds += 1) await turn();
    assert.ok(rounds >= 5 && rounds < 100, `${rounds} rounds`);
    assert.equal(client.isClosed(), false);
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
