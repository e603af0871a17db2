import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { it } from "node:test";
import fc from "fast-check";
import type { Handlers } from "../../../../src/frontends/libvirt/rpc/handlers.js";
import { root } from "../../../support/paths.js";
import { connectTo, frameOf, turn } from "./client.js";

interface Vector {
  readonly direction: string;
  readonly hex: string;
}
const frames = ["00-handshake", "30-lifecycle", "50-tuning", "60-stats", "70-console-stream", "80-fd-passing"]
  .flatMap(
    (name) =>
      JSON.parse(readFileSync(join(root, `test/golden/libvirt/vectors/${name}.json`), "utf8")) as readonly Vector[],
  )
  .filter(({ direction }) => direction === "client->server")
  .map(({ hex }) => Buffer.from(hex, "hex"));

const handlers: Handlers = {
  CONNECT_GET_HOSTNAME: () => ({ hostname: "vm" }),
  DOMAIN_LOOKUP_BY_NAME: ({ name }) => ({ dom: { name, uuid: "4de601c5-e42e-4721-81c9-7abc8ac07934", id: -1 } }),
  DOMAIN_SET_MEMORY_PARAMETERS: () => undefined,
  DOMAIN_OPEN_CONSOLE: (_, call) => {
    call.openStream(90);
  },
  DOMAIN_CREATE_WITH_FILES: ({ dom }) => ({ dom }),
};

const message = fc.record({
  frame: fc.constantFrom(...frames),
  /** Places and bytes to put there; more often in the head than anywhere. */
  changes: fc.array(fc.tuple(fc.oneof(fc.nat(40), fc.nat(2000)), fc.nat(255)), { maxLength: 3 }),
  cut: fc.option(fc.nat(200)),
  fds: fc.array(fc.nat(50), { maxLength: 3 }),
});

it("whatever a client sends, it is answered or loses its connection; no descriptor is lost", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(message, { minLength: 1, maxLength: 8 }), async (messages) => {
      const client = connectTo(handlers);
      client.open();
      const sent: number[] = [];
      for (const { frame, changes, cut, fds } of messages) {
        const bytes = Buffer.from(frame.subarray(0, cut ?? frame.length));
        for (const [at, byte] of changes) if (at < bytes.length) bytes[at] = byte;
        if (client.isClosed() || client.isPaused() || bytes.length === 0) break;
        client.send(bytes, fds);
        sent.push(...fds);
        await turn();
      }
      for (const { near } of client.joined.values()) near.on("error", () => undefined);
      if (!client.isClosed() && !client.isPaused()) {
        client.take();
        client.send(frameOf(59, undefined, { serial: 1234 }));
        await turn();
      }
      client.leave();
      await turn();
      assert.deepEqual(
        client.closedFds.filter((fd) => fd !== 90).sort((a, b) => a - b),
        sent.sort((a, b) => a - b),
      );
    }),
    { numRuns: 300 },
  );
});
