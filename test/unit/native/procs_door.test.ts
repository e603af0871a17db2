import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { closeFd, receiveMessage, sendMessage } from "../../../src/host/addon.js";
import { hostArch } from "../../../src/host/probe.js";
import { listenUnix, socketPair } from "../../../src/host/socket.js";
import { islet, newDir } from "../../support/client.js";
import { command } from "../../support/command.js";
import { wire, type Wire } from "../../support/frames.js";
import type { Assault, Outcome } from "../../support/plain-peer.js";
import { waitFor } from "../../support/wait.js";

const VISITOR = 15;
/** Root is let in by no door of users. */
const uid = process.getuid?.() === 0 ? 4711 : (process.getuid?.() ?? 0);

interface Door {
  readonly path: string;
  readonly pid: number;
  readonly ended: Promise<number | null>;
  /** Where the daemon reads who has come. */
  readonly daemon: Wire;
}

function door(t: TestContext): Door {
  const directory = newDir();
  chmodSync(directory, 0o711);
  const path = join(directory, "door");
  const listener = listenUnix(hostArch(), path, 64, 0o666);
  const [ours, theirs] = socketPair(hostArch());
  const child = spawn(islet, ["door"], {
    argv0: "islet",
    env: {},
    stdio: ["ignore", "ignore", "inherit", listener, theirs],
  });
  closeFd(listener);
  closeFd(theirs);
  const daemon = wire(ours);
  t.after(() => {
    daemon.close();
    child.kill("SIGKILL");
  });
  return { path, pid: child.pid ?? 0, ended: new Promise((resolve) => child.on("exit", resolve)), daemon };
}

async function visit(path: string, how: Partial<Assault>): Promise<Outcome> {
  const input: Assault = {
    path,
    uid,
    connections: 1,
    bytes: "",
    descriptors: 0,
    areLingering: false,
    patience: 3000,
    ...how,
  };
  const peer = join(import.meta.dirname, "../../support/plain-peer.js");
  const { stdout, stderr } = await command([process.execPath, peer], { input: JSON.stringify(input) });
  return JSON.parse(stdout === "" ? assert.fail(stderr) : stdout) as Outcome;
}

const childrenOf = (pid: number): number =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).length;

test("a door tells who has come, and passes bytes in both directions, but no descriptors", async (t) => {
  const { path, daemon, pid, ended } = door(t);
  const visiting = visit(path, { bytes: Buffer.from("a question").toString("hex"), descriptors: 2 });
  const { type, payload, fds } = (await daemon.next()) ?? assert.fail("nobody has come");
  assert.equal(type, VISITOR);
  assert.equal(payload.length, 12);
  assert.equal(payload.readUInt32LE(4), uid);
  assert.match(readFileSync(`/proc/${payload.readUInt32LE(0)}/cmdline`, "utf8"), /plain-peer/);
  const [fd = -1, pidfd] = fds;
  if (pidfd !== undefined) {
    assert.match(
      readFileSync(`/proc/self/fdinfo/${pidfd}`, "utf8"),
      new RegExp(`^Pid:\t${payload.readUInt32LE(0)}$`, "m"),
    );
    closeFd(pidfd);
  }
  const buffer = Buffer.alloc(64);
  const got = await waitFor("the question", () => {
    const { bytes, fds: more } = receiveMessage(fd, buffer, 4);
    assert.deepEqual(more, []);
    return bytes > 0 ? bytes : null;
  });
  assert.equal(buffer.toString("utf8", 0, got), "a question");
  assert.equal(sendMessage(fd, Buffer.from("an answer"), []), 9);
  closeFd(fd);
  const { answers } = await visiting;
  assert.deepEqual(answers, [{ bytes: Buffer.from("an answer").toString("hex"), refused: null, isEnded: true }]);
  await waitFor("its process to end", () => childrenOf(pid) === 0);
  daemon.close();
  assert.equal(await ended, 0);
});

test("a user has sixteen connections at a time, says no more than a request has, and leaves when the daemon says so", async (t) => {
  const { path, daemon, pid, ended } = door(t);
  const visiting = visit(path, { connections: 30, patience: 2000 });
  const visitors: number[] = [];
  for (let count = 0; count < 16; count += 1) {
    const { fds } = (await daemon.next()) ?? assert.fail("too few");
    visitors.push(...fds);
  }
  await assert.rejects(daemon.next(500), /no frame/);
  for (const fd of visitors) closeFd(fd);
  const { answers } = await visiting;
  assert.ok(answers.every(({ bytes, isEnded }) => isEnded && bytes === ""));
  await waitFor("all to leave", () => childrenOf(pid) === 0);
  const loud = visit(path, { bytes: "00".repeat(8201) });
  const { fds } = (await daemon.next()) ?? assert.fail("nobody has come");
  assert.ok((await loud).answers[0]?.isEnded);
  for (const fd of fds) closeFd(fd);
  daemon.close();
  assert.equal(await ended, 0);
});

test("a door without its sockets says so", async () => {
  const { status, stderr } = await command([islet, "door"]);
  assert.deepEqual(
    [status, stderr],
    [1, "islet: door is for islet's own use: it needs sockets on descriptors 3 and 4\n"],
  );
});
