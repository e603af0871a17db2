import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { planBridgeCheck } from "../../src/plan/bridge-check.js";
import { imm } from "../../src/program/assembler.js";
import { decodeRecord } from "../../src/program/report.js";
import { runHelper } from "../../src/runtime/helper.js";
import { probeHost } from "../../src/host/probe.js";
import { EIO } from "../../src/sys/errno.js";
import { parseIpv4 } from "../../src/sys/ip.js";

/**
 * Run in the network namespace of a test, with lxcbr0 in it: tries the bridge out with each operation failing in turn, and killed at some
 * moments. Prints how often that ended it, and what was left.
 */
const [binary = "", runtimeDir = ""] = process.argv.slice(2);
const host = probeHost(runtimeDir);
const bytes = (text: string): Uint8Array => parseIpv4(text) ?? new Uint8Array(4);

const plan = (turn: number): ReturnType<typeof planBridgeCheck> =>
  planBridgeCheck(
    {
      bridge: "lxcbr0",
      gateway: bytes("10.0.3.1"),
      prefix: 24,
      mtu: 1500,
      guest: bytes("10.0.3.254"),
      beyond: bytes("203.0.113.0"),
      foreign: bytes("203.0.113.0"),
      random: Uint8Array.of(turn >> 8, turn & 0xff, 3, 4, 5, 6, 7, 8),
    },
    host,
  );

/** Interfaces and neighbours that islet's trial could have left. */
const left = (): readonly string[] =>
  ["/proc/net/dev", "/proc/net/arp", "/proc/net/route"].flatMap((file) =>
    readFileSync(file, "utf8")
      .split("\n")
      .filter((line) => /islet-|10\.0\.3\.254|203\.0\.113/.test(line))
      // Somebody speaks to an address that nobody has: that is forgotten by itself.
      .filter((line) => !/ 00:00:00:00:00:00 /.test(line))
      .map((line) => `${file}: ${line}`),
  );

const faults: string[] = [];
let failed = 0;
const count = plan(0).sections[0]?.ops.length ?? 0;
for (let turn = 0; turn < count; turn += 1) {
  const program = plan(turn);
  const ops = program.sections[0]?.ops ?? [];
  const op = ops[turn];
  if (op === undefined) break;
  ops[turn] = {
    ...op,
    code: "fail",
    flags: 0,
    nr: 0,
    args: [imm(EIO)],
    out: null,
    rules: [],
    target: null,
    block: null,
  };
  const result = await runHelper(host.arch, binary, program, [], 10_000);
  if (result.kind === "killed") faults.push(`${turn} (${op.note}) was killed`);
  if (result.kind === "failed") {
    failed += 1;
    if (decodeRecord(result.record)?.op !== turn) faults.push(`${turn} (${op.note}): another operation failed`);
  }
  faults.push(...left().map((line) => `${turn} (${op.note}): ${line}`));
}
for (let time = 1; time < 30; time += 4) {
  await runHelper(host.arch, binary, plan(count + time), [], time);
  // Nobody waits for the end of one that is killed: it may be making an interface still.
  while (readFileSync(`/proc/self/task/${process.pid}/children`, "utf8") !== "") await sleep(5);
  // Its namespaces take their interfaces with them when the kernel comes to it.
  for (let waited = 0; waited < 5000 && left().some((line) => line.startsWith("/proc/net/dev")); waited += 20)
    await sleep(20);
  faults.push(
    ...left()
      .filter((line) => !line.startsWith("/proc/net/arp"))
      .map((line) => `killed after ${time} ms: ${line}`),
  );
}
console.log(JSON.stringify({ count, failed, faults: faults.slice(0, 20) }));
process.exit(0);
