import {
  type Block,
  beginProgram,
  call,
  clone,
  cwdFd,
  data,
  end,
  finishProgram,
  goOn,
  imm,
  jump,
  label,
  load,
  nil,
  place,
  presetSlot,
  slot,
  store,
  str,
  stringArray,
  wait,
  within,
  buffer,
} from "../program/assembler.js";
import { cloneArguments, moveMountTo, mountSetattr, openat, openTree } from "../program/calls.js";
import type { LaunchProgram, Slot } from "../program/ops.js";
import type { HostFacts } from "../spec/host.js";
import {
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_PIDFD,
  MOUNT_ATTR_RDONLY,
  O_RDONLY,
  POLLIN,
  PR_SET_PDEATHSIG,
} from "../sys/flags.js";
import { POLLFD_AT, pollfd } from "../sys/structs.js";
import { EINTR } from "../sys/errno.js";
import { endOnFailure } from "./attach.js";
import { defaultSignals, signalChild } from "./hooks.js";
import { execProgram } from "./process.js";

export interface ContainedCommand {
  readonly argv: readonly string[];
  /** NAME=VALUE, complete. */
  readonly environment: readonly string[];
  readonly cwd: string;
  /** The second preset descriptor is its standard input; otherwise /dev/null. */
  readonly hasInput: boolean;
  /** The one directory to which it can write; null: everywhere. */
  readonly writable: string | null;
}

/**
 * A program of the host's as a descendant of the client, in a pid and a mount namespace of its own, without the terminal. The first preset
 * descriptor, a socket, becomes its standard output and error. A small init between the two ends everything as soon as the client is dead or
 * the other end of that socket is closed: nothing of it outlives the client or the daemon. Result: its exit status (128 + signal).
 */
export function planContainedCommand(wanted: ContainedCommand, host: HostFacts): LaunchProgram {
  const client = beginProgram(host.arch, "client");
  const { build } = client;
  const output = presetSlot(build, "output");
  const input = wanted.hasInput ? presetSlot(build, "input") : null;
  const init = slot(build, "init.pidfd");
  const room = buffer(build, 8, init.name);
  const flags = BigInt(CLONE_PIDFD | CLONE_NEWNS) | BigInt(CLONE_NEWPID);
  const args = cloneArguments(client, flags, signalChild, room, null);
  clone(client, "small init", args, { note: `make namespaces for ${wanted.argv[0] ?? ""}` }, (child) => {
    planInit(child, wanted, output, input);
  });
  load(client, init, room, 4, "take its pidfd");
  endOnFailure(client, init);
  const status = slot(build, "status");
  wait(client, init, false, { note: "wait for its end", out: status });
  end(client, status, "its status is the client's");
  return finishProgram(build);
}

function planInit(child: Block, wanted: ContainedCommand, output: Slot, input: Slot | null): void {
  const { build } = child;
  defaultSignals(child);
  call(child, "prctl", [imm(PR_SET_PDEATHSIG, "PR_SET_PDEATHSIG"), imm(9, "SIGKILL"), imm(0), imm(0), imm(0)], {
    note: "die with the client",
  });
  call(child, "setsid", [], { note: "let go of the terminal" });
  call(child, "mount", [nil, str(build, "/"), nil, imm(0x84000, "MS_REC|MS_SLAVE"), nil], {
    note: "keep its mounts from the host",
  });
  if (wanted.writable !== null) protectRest(child, wanted.writable);
  call(child, "chdir", [str(build, wanted.cwd)], { note: `change to ${wanted.cwd}`, on: [{ on: "any", to: "next" }] });
  const program = slot(build, "program.pidfd");
  const room = buffer(build, 8, program.name);
  const args = cloneArguments(child, BigInt(CLONE_PIDFD), signalChild, room, null);
  clone(child, "program", args, { note: `start ${wanted.argv[0] ?? ""}` }, (run) => {
    let source = input;
    if (source === null) {
      source = slot(build, "null");
      openat(run, cwdFd, "/dev/null", O_RDONLY, source, { note: "open /dev/null" });
    }
    call(run, "dup3", [source, imm(0), imm(0)], { note: "descriptor 0" });
    call(run, "dup3", [output, imm(1), imm(0)], { note: "descriptor 1" });
    call(run, "dup3", [output, imm(2), imm(0)], { note: "descriptor 2" });
    const { environment, argv } = wanted;
    const envp = stringArray(build, environment, `[/* ${environment.length} vars */]`);
    execProgram(run, argv[0] ?? "", argv, environment, envp);
  });
  load(child, program, room, 4, "take its pidfd");
  // Our own copy would keep a pipe's writer waiting for a reader that is gone.
  if (input !== null) call(child, "close", [input], { note: "close the input" });
  waitForEnd(child, program, output);
}

/** Every mount becomes read-only but that of one directory. */
function protectRest(child: Block, writable: string): void {
  const tree = slot(child.build, "writable");
  openTree(child, cwdFd, writable, false, tree, { note: `take hold of ${writable}` });
  mountSetattr(child, cwdFd, "/", { set: MOUNT_ATTR_RDONLY }, true, { note: "make everything read-only" });
  moveMountTo(child, tree, writable, { note: `let it write to ${writable}` });
}

/** The end of pid 1 is the end of everybody in its namespace. */
function waitForEnd(child: Block, program: Slot, output: Slot): void {
  const { build } = child;
  const ready = data(
    build,
    new Uint8Array([...pollfd(0, POLLIN), ...pollfd(0, 0)]),
    "[{program, POLLIN}, {output, 0}]",
  );
  store(child, program, within(ready, POLLFD_AT.fd, 4), 4, "wait for the program");
  store(child, output, within(ready, 8 + POLLFD_AT.fd, 4), 4, "wait for the end of who reads");
  const again = label("look again");
  place(child, again);
  call(child, "ppoll", [ready, imm(2), nil, nil, imm(0)], {
    note: "wait for the program, or for the end of who reads what it prints",
    on: goOn(again, EINTR),
  });
  const left = slot(build, "reader.left");
  const done = label("the program has ended");
  load(child, left, within(ready, 8 + POLLFD_AT.revents, 2), 2, "see whether somebody reads");
  jump(child, done, "somebody does", "eq", left, imm(0));
  end(child, 137, "nobody waits any more: all of it ends");
  place(child, done);
  const status = slot(build, "program.status");
  wait(child, program, false, { note: "take the program's status", out: status });
  end(child, status, "its status is handed on");
}
