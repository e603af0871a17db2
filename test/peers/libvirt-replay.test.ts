import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { frameTypes } from "../../src/frontends/libvirt/rpc/frame.js";
import { findProcedure } from "../../src/frontends/libvirt/rpc/procedures.js";
import { encode, xdrReader } from "../../src/frontends/libvirt/rpc/xdr.js";
import { libvirtClient, rawFrame } from "../support/libvirt-wire.js";
import { root } from "../support/paths.js";
import { lacks } from "../support/skip.js";
import { virshPlace } from "../support/virsh.js";

/** Calls that virsh and python3-libvirt made to Debian's libvirtd, made again of a daemon with the same domain: each is answered, or refused, as it was there. */

interface Vector {
  readonly direction: string;
  readonly program: string;
  readonly procedure: number;
  readonly name: string;
  readonly type: string;
  readonly status: string;
  readonly serial: number;
  readonly label: string;
  readonly hex: string;
}

/** Those that only look: their answers do not depend on what was done before. */
const sessions = ["00-handshake", "10-connect", "20-list-lookup", "60-stats"] as const;

/** What is answered otherwise, and why. */
const reasons: Readonly<Record<string, string>> = {
  "CONNECT_GET_ALL_DOMAIN_STATS: ok, was error": "its LXC driver has none; virt-top asks for them",
  "DOMAIN_INTERFACE_STATS: error, was ok": "the recorded link is its host's; there is none of that name here",
};
const uuid = "11111111-2222-3333-4444-555555555555";

test("what only looks is answered as libvirtd answered it", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const place = await virshPlace(t);
  const client = await libvirtClient(t, place.socket);
  const guest = place.rootfs("t2");
  const { dom } = await client.call("DOMAIN_DEFINE_XML", {
    xml: `<domain type='lxc'><name>t2</name><uuid>${uuid}</uuid><memory>65536</memory><features><privnet/></features>
<os><type>exe</type><init>/bin/sleep</init><initarg>1000</initarg></os>
<devices><filesystem type='mount'><source dir='${guest}'/><target dir='/'/></filesystem><console type='pty'/></devices></domain>`,
  });
  await client.call("DOMAIN_CREATE", { dom });
  const { dom: running } = await client.call("DOMAIN_LOOKUP_BY_NAME", { name: "t2" });
  const differences: string[] = [];
  let compared = 0;
  for (const session of sessions) {
    const vectors = JSON.parse(
      readFileSync(join(root, `test/golden/libvirt/vectors/${session}.json`), "utf8"),
    ) as readonly Vector[];
    for (const vector of vectors) {
      if (vector.direction !== "client->server" || vector.type !== "call") continue;
      // The connection is opened and closed here.
      if (/CONNECT_(OPEN|CLOSE)$|AUTH|CLOSE_CALLBACK/.test(vector.name)) continue;
      const recorded = vectors.find(
        (each) =>
          each.direction === "server->client" &&
          each.type === "reply" &&
          each.label === vector.label &&
          each.serial === vector.serial &&
          each.procedure === vector.procedure,
      );
      const procedure = findProcedure(Number(vector.program), vector.procedure);
      if (recorded === undefined || procedure === null) continue;
      const args = procedure.args.read(xdrReader(Buffer.from(vector.hex, "hex").subarray(28)));
      const ours = args["dom"] === undefined ? args : { ...args, dom: running };
      const named = args["id"] === undefined ? ours : { ...ours, id: running.id };
      const serial = 1000 + compared;
      await client.sendAll(
        rawFrame(vector.procedure, encode(procedure.args, named), { program: procedure.program, serial }),
      );
      const reply = await client.reply(serial);
      const status = reply.status === 0 ? "ok" : "error";
      if (reply.type !== frameTypes.reply || status !== recorded.status)
        differences.push(`${procedure.name}: ${status}, was ${recorded.status}`);
      // Its shape is that of the procedure, to the last byte.
      if (status === "ok" && procedure.ret !== null) {
        const reader = xdrReader(reply.payload);
        procedure.ret.read(reader);
        assert.equal(reader.left, 0, procedure.name);
      }
      compared += 1;
    }
  }
  assert.ok(compared > 60, `${compared} calls`);
  assert.deepEqual([...new Set(differences)].sort(), Object.keys(reasons).sort());
});
