import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Frame } from "../../src/frontends/libvirt/rpc/frame.js";
import { findProcedure } from "../../src/frontends/libvirt/rpc/procedures.js";
import { type Excuses, ledger } from "../support/libvirt-differences.js";
import { answerOf, frameOf, type Probe, recordedProbes } from "../support/libvirt-recording.js";
import { views } from "../support/libvirt-replay.js";
import { situation, t4 } from "../support/libvirt-situation.js";
import { bareClient, callFrame, libvirtClient, type WireClient } from "../support/libvirt-wire.js";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";

/** Requests made by hand, many of them malformed, byte by byte as libvirtd got them; it reacts, or does not, as libvirtd did. */

const oneDriver = "islet has one driver: it is the one that is meant, and others are not there";

const excuses: Excuses = {
  machine: { "CONNECT_GET_HOSTNAME.hostname": "the host's" },
  reasons: {
    'open null name CONNECT_OPEN.status: "1, internal error: connection not open", here "ok"': oneDriver,
    'open qemu CONNECT_OPEN.status: "ok", here "5, no connection driver available for qemu:///system"': oneDriver,
  },
};

/** Asked on a connection that has not been opened. */
const early = /^(call before|open (?!twice))/;
/** They follow the one before on its connection. */
const follows = /^legacy (event register twice|deregister)/;

/** Milliseconds without an answer that are taken for none. */
const silence = 500;

function requestOf({ label, request_hex: request }: Probe): Uint8Array {
  if (request !== undefined) return Buffer.from(request, "hex");
  const [, feature] = /^feature (\d+)$/.exec(label) ?? [];
  if (feature === undefined) throw new Error(`${label}: no request`);
  return callFrame("CONNECT_SUPPORTS_FEATURE", { feature: Number(feature) }, { serial: 2 });
}

const nameOf = ({ program, procedure }: Frame): string =>
  findProcedure(program, procedure)?.name ?? `${program}/${procedure}`;
/** The status is the answer's. */
const headOf = ({ program, version, procedure, type, serial }: Frame): unknown => ({
  program,
  version,
  procedure,
  type,
  serial,
});

const reactionOf = ({ reply, reply_hex: hex }: Probe): Frame | "silent" | "closed" => {
  if (reply === "TIMEOUT") return "silent";
  if (reply === "EOF") return "closed";
  if (hex === undefined) throw new Error("nothing is said about its reaction");
  return frameOf(hex);
};

async function react(client: WireClient, probe: Probe): Promise<Frame | "silent" | "closed"> {
  await client.sendAll(requestOf(probe));
  const next = (): Frame | "closed" | null => client.take()[0] ?? (client.isOver() ? "closed" : null);
  if (probe.reply !== "TIMEOUT") return await waitFor(`the reaction to ${probe.label}`, next);
  await sleep(silence);
  return next() ?? "silent";
}

test("requests made by hand are answered as libvirtd answered them", async (t) => {
  if (lacks(t, "root")) return;
  const { place, names } = await situation(t, { off: ["t1", "t2", "t3"] });
  const probes = recordedProbes();
  const control = await libvirtClient(t, place.socket);
  await control.call("DOMAIN_DEFINE_XML", { xml: String(names.toOurs(t4)) });
  // It was another document by then.
  const later = reactionOf(probes.find(({ label }) => label === "getxml migratable") ?? { label: "" });
  if (typeof later === "string") throw new Error("the recorded document is not there");
  const answer = answerOf(later, []);
  const xml = answer.status === "ok" ? String(answer.value["xml"]) : "";
  await control.call("DOMAIN_DEFINE_XML", { xml: String(names.toOurs(xml)) });

  const book = ledger(excuses);
  const chains: Probe[][] = [];
  for (const probe of probes) {
    if (follows.test(probe.label)) chains.at(-1)?.push(probe);
    else chains.push([probe]);
  }
  const run = async (chain: readonly Probe[]): Promise<void> => {
    const client = bareClient(t, place.socket);
    if (!early.test(chain[0]?.label ?? "")) {
      await client.call("AUTH_LIST", {});
      await client.call("CONNECT_OPEN", { name: "lxc:///system", flags: 0 });
    }
    for (const probe of chain) {
      const theirs = reactionOf(probe);
      const ours = await react(client, probe);
      if (typeof theirs === "string" || typeof ours === "string") {
        const word = (reaction: Frame | string): string => (typeof reaction === "string" ? reaction : "answered");
        book.compare(probe.label, "reaction", word(theirs), word(ours));
      } else {
        const [one, other] = views(answerOf(theirs, []), answerOf(ours, []));
        book.compare(probe.label, "head", headOf(theirs), headOf(ours));
        book.compare(probe.label, nameOf(theirs), names.plain("theirs", one), names.plain("ours", other));
      }
    }
    client.close();
  };
  await Promise.all(chains.map(run));
  const faults = book.faults();
  if (faults.length > 0) throw new Error(faults.join("\n"));
});
