import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { closeFd } from "../../../src/host/addon.js";
import {
  buffer,
  call,
  clone,
  end,
  fail,
  imm,
  load,
  presetSlot,
  slot,
  tell,
  textBytes,
  wait,
  within,
} from "../../../src/program/assembler.js";
import { cloneArguments } from "../../../src/program/calls.js";
import {
  EXIT,
  RUN,
  RESULT,
  decodeHello,
  fakeDaemon,
  openTerminal,
  out,
  readFrom,
  startClient,
} from "../../support/client.js";
import { socketPair, sys, u32, type Wire } from "../../support/frames.js";
import { image, ptyMaster, startShell } from "../../support/image.js";
import { waitFor } from "../../support/wait.js";

/** Starts a shell script and ends with its exit code. */
function shellImage(script: string): Uint8Array {
  return image((first) => {
    const started = startShell(first, script);
    const code = slot(first.build, "code");
    tell(first, 3, "target", started.pid, "gets the signals");
    wait(first, started.pidfd, false, { note: "wait for the shell", out: code });
    end(first, code, "its exit code");
  });
}

function run(peer: Wire, flags: number, program: Uint8Array, fds: readonly number[] = []): void {
  peer.send(RUN, Buffer.concat([u32(flags), program]), fds);
}

test("RUN makes the user's own child, with the user's descriptors, and exits with its code", async (t) => {
  const runtime = fakeDaemon(t, (peer) => {
    run(
      peer,
      1,
      shellImage(
        "echo out; echo err >&2; for n in 3 4 5 6 7 8 9 10; do [ -L /proc/$$/fd/$n ] && echo $n is open; done; exit 42",
      ),
    );
  });
  const client = startClient(runtime);
  const ended = await client.ended;
  assert.deepEqual(ended, { code: 42, signal: null, stdout: "out\n", stderr: "err\n" });
});

test("the exit code of a child that a signal ended is 128 and the signal", async (t) => {
  const runtime = fakeDaemon(t, (peer) => {
    run(peer, 1, shellImage("kill -9 $$"));
  });
  assert.equal((await startClient(runtime).ended).code, 137);
});

test("RUN with a result frame goes on afterwards", async (t) => {
  const results: Buffer[] = [];
  const runtime = fakeDaemon(t, async (peer) => {
    for (const code of [3, 4]) {
      run(peer, 2, shellImage(`exit ${code}`));
      const answer = await peer.next();
      assert.equal(answer?.type, RESULT);
      results.push(answer.payload);
    }
    out(peer, 1, "done\n");
    peer.send(EXIT, u32(9));
  });
  const ended = await startClient(runtime).ended;
  assert.deepEqual(results, [u32(0, 3), u32(0, 4)]);
  assert.equal(ended.code, 9);
  assert.equal(ended.stdout, "done\n");
});

test("a failed program is reported with its operation, and the daemon has the last word", async (t) => {
  const records: (Buffer | undefined)[] = [];
  const runtime = fakeDaemon(t, async (peer) => {
    run(
      peer,
      1,
      image((first) => {
        call(first, "getpid", [], { note: "fine" });
        fail(first, 13, { note: "not allowed" });
      }),
    );
    records.push((await peer.next())?.payload);
    out(peer, 2, "lxc-test: not allowed\n");
    peer.send(EXIT, u32(255));
  });
  const ended = await startClient(runtime).ended;
  assert.deepEqual(ended, { code: 255, signal: null, stdout: "", stderr: "lxc-test: not allowed\n" });
  assert.equal(records[0]?.length, 76);
  assert.equal(records[0]?.readUInt32LE(0), 1);
  assert.deepEqual(
    [1, 2, 3, 4].map((i) => records[0]?.readUInt32LE(i * 4)),
    [0x46504c49, 1, 13, 0],
  );
});

test("when a child of the program fails, the child's record is the one that is sent", async (t) => {
  const records: (Buffer | undefined)[] = [];
  const runtime = fakeDaemon(t, async (peer) => {
    run(
      peer,
      1,
      image((first) => {
        const room = buffer(first.build, 4, "pidfd");
        const pidfd = slot(first.build, "pidfd");
        clone(first, "child", cloneArguments(first, 0x1000n, 17, room, null), { note: "child" }, (child) => {
          fail(child, 28, { note: "no space" });
        });
        load(first, pidfd, within(room, 0, 4), 4, "pidfd");
        wait(first, pidfd, true, { note: "must be fine" });
        end(first, 0, "never");
      }),
    );
    records.push((await peer.next())?.payload);
    peer.send(EXIT, u32(1));
  });
  await startClient(runtime).ended;
  assert.deepEqual(
    [3, 4].map((i) => records[0]?.readUInt32LE(i * 4)),
    [28, 1],
  );
});

test("preset slots are the descriptors that came along", async (t) => {
  const runtime = fakeDaemon(t, async (peer) => {
    const [mine, theirs] = socketPair();
    const program = image((first) => {
      const given = presetSlot(first.build, "given");
      call(first, "write", [given, textBytes(first.build, "ping"), imm(4)], { note: "write" });
      end(first, 0, "done");
    });
    run(peer, 2, program, [theirs]);
    closeFd(theirs);
    await peer.next();
    const bytes = Buffer.alloc(8);
    assert.equal(sys("read", mine, bytes, 8), 4);
    assert.equal(bytes.toString("utf8", 0, 4), "ping");
    assert.equal(sys("read", mine, bytes, 8), 0); // the client has closed its copy
    closeFd(mine);
    peer.send(EXIT, u32(0));
  });
  assert.equal((await startClient(runtime).ended).code, 0);
});

test("SIGTERM to the client reaches the child that the program named", async (t) => {
  const runtime = fakeDaemon(t, (peer) => {
    run(peer, 1, shellImage("trap 'exit 33' TERM; sleep 0.3; echo ready; while :; do sleep 0.05; done"));
  });
  const client = startClient(runtime);
  await new Promise((resolve) => client.child.stdout?.once("data", resolve));
  // The child may be quicker than the client, which takes signals for it once it knows it.
  await waitFor("the client to take signals", () => {
    const status = readFileSync(`/proc/${client.child.pid ?? 0}/status`, "utf8");
    const blocked = BigInt(`0x${/^SigBlk:\t([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
    return (blocked & (1n << 14n)) !== 0n;
  });
  client.child.kill("SIGTERM");
  assert.equal((await client.ended).code, 33);
});

test("a terminal of its own is relayed: size, keys, output to the last byte, and the user's terminal is restored", async (t) => {
  const terminal = openTerminal(t);
  terminal.resize(33, 101);
  const runtime = fakeDaemon(t, (peer, hello) => {
    const said = decodeHello(hello.payload);
    assert.deepEqual([said.ttys, said.rows, said.columns], [7, 33, 101]);
    run(
      peer,
      1,
      image((first) => {
        const master = ptyMaster(first);
        tell(first, 1, "master", master, "relay");
        const started = startShell(
          first,
          "stty size; read line; echo got:$line; (sleep 3 &) ; seq 3000; exit 6",
          master,
        );
        const code = slot(first.build, "code");
        tell(first, 2, "ignore", imm(1), "ignore the keyboard's signals");
        wait(first, started.pidfd, false, { note: "wait", out: code });
        end(first, code, "code");
      }),
    );
  });
  terminal.type("early\n"); // typed before anybody listens: must not be lost
  const begin = Date.now();
  const client = startClient(runtime, { stdio: [terminal.slave, terminal.slave, terminal.slave] });
  const text = await readFrom(terminal.master, /3000\r\n/);
  assert.equal((await client.ended).code, 6);
  assert.match(text, /33 101\r\n/);
  assert.match(text, /got:early\r\n/);
  assert.equal(text.match(/^\d+\r$/gm)?.length, 3000);
  assert.ok(Date.now() - begin < 2500, "a background job that holds the terminal does not hold the client");
  assert.ok(terminal.isCooked());
});
