import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { LibvirtError } from "../../../../src/frontends/libvirt/errors.js";
import type { Handlers } from "../../../../src/frontends/libvirt/rpc/handlers.js";
import { root } from "../../../support/paths.js";
import { argsOf, connectTo, frameOf, type TestClient, turn } from "./client.js";

const dom = { name: "t1", uuid: "4de601c5-e42e-4721-81c9-7abc8ac07934", id: -1 };

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
