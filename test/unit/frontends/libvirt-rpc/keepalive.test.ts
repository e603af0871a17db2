import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Handlers } from "../../../../src/frontends/libvirt/rpc/handlers.js";
import { programs } from "../../../../src/frontends/libvirt/rpc/procedures.js";
import { waitFor } from "../../../support/wait.js";
import { argsOf, connectTo, frameOf, turn } from "./client.js";

const dom = { name: "t1", uuid: "4de601c5-e42e-4721-81c9-7abc8ac07934", id: -1 };
const destroy = 12;

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
