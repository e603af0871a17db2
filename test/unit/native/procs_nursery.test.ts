import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { closeFd, receiveMessage, sendMessage } from "../../../src/host/addon.js";
import { hostArch } from "../../../src/host/probe.js";
import { socketPair } from "../../../src/host/socket.js";
import { islet } from "../../support/client.js";
import { waitFor } from "../../support/wait.js";

function childrenOf(pid: number): readonly number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
}

test("a nursery makes a monitor for each descriptor, keeps no zombies, and ends with the daemon", async (t) => {
  const [ours, theirs] = socketPair(hostArch());
  const child = spawn(islet, ["nursery"], { argv0: "islet", env: {}, stdio: ["ignore", "ignore", "inherit", theirs] });
  closeFd(theirs);
  t.after(() => child.kill("SIGKILL"));
  const pid = child.pid ?? 0;
  const ended = new Promise<number | null>((resolve) => child.on("exit", resolve));
  const monitors: number[] = [];
  for (let count = 0; count < 3; count += 1) {
    const [mine, its] = socketPair(hostArch());
    assert.equal(sendMessage(ours, new Uint8Array(1), [its]), 1);
    closeFd(its);
    monitors.push(mine);
  }
  await waitFor("three monitors", () => childrenOf(pid).length === 3);
  for (const monitor of childrenOf(pid))
    await waitFor("its name", () => readFileSync(`/proc/${monitor}/cmdline`, "utf8") === "islet\0monitor\0");
  // A monitor holds no socket but its own.
  for (const monitor of monitors.splice(0, 2)) closeFd(monitor);
  await waitFor("two of them to end", () => childrenOf(pid).length === 1);
  // A byte 1 asks for the pid.
  const [mine, its] = socketPair(hostArch());
  assert.equal(sendMessage(ours, new Uint8Array([1]), [its]), 1);
  closeFd(its);
  monitors.push(mine);
  const word = new Uint8Array(4);
  await waitFor("the pid", () => receiveMessage(mine, word, 0).bytes === 4);
  assert.ok(childrenOf(pid).includes(new DataView(word.buffer).getInt32(0, true)));
  // A byte without a descriptor means nothing.
  assert.equal(sendMessage(ours, new Uint8Array(1), []), 1);
  closeFd(ours);
  assert.equal(await ended, 0);
  for (const monitor of monitors) closeFd(monitor);
});
