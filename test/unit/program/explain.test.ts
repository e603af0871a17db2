import assert from "node:assert/strict";
import { test } from "node:test";

import {
  beginProgram,
  buffer,
  call,
  check,
  clone,
  compute,
  cwdFd,
  defer,
  end,
  fail,
  finishProgram,
  format,
  goOn,
  ignore,
  imm,
  jump,
  label,
  load,
  place,
  slot,
  store,
  str,
  stringArray,
  tell,
  wait,
  type Block,
} from "../../../src/program/assembler.js";
import { cloneArguments, openat, openat2, writeText } from "../../../src/program/calls.js";
import { explainProgram, programJson } from "../../../src/program/explain.js";
import type { LaunchProgram } from "../../../src/program/ops.js";
import { EEXIST, ENOENT } from "../../../src/sys/errno.js";

function program(build: (first: Block) => void): LaunchProgram {
  const first = beginProgram("x86_64", "monitor");
  build(first);
  return finishProgram(first.build);
}

/** The lines without the column of notes. */
const calls = (made: LaunchProgram): readonly string[] =>
  explainProgram(made)
    .trimEnd()
    .split("\n")
    .map((line) => line.replace(/ +# .*$/, ""));

test("a program is printed as strace would, indented by process, with what undoes it behind what it undoes", () => {
  const made = program((first) => {
    const { build } = first;
    const [fd, pid, pidfd] = [slot(build, "file"), slot(build, "init"), slot(build, "init.pidfd")];
    openat(first, cwdFd, "/srv/x", 0o1102, fd, { note: "open it", on: ignore(EEXIST) }, 0o640);
    defer(first, "close it", "close it at the end", (undo) => {
      call(undo, "close", [fd], { note: "close it" });
    });
    writeText(first, fd, "line\n", { note: "fill it" });
    const room = buffer(build, 8, pidfd.name);
    clone(first, "init", cloneArguments(first, 0x20001000n, 17, room, null), { note: "clone", out: pid }, (child) => {
      call(
        child,
        "execve",
        [str(build, "/sbin/init"), stringArray(build, ["/sbin/init", "a b"]), stringArray(build, [])],
        { note: "execute it" },
      );
    });
    wait(first, pidfd, false, { note: "wait" });
    end(first, 0, "done with it");
  });
  assert.deepEqual(calls(made), [
    "monitor:",
    '  openat(AT_FDCWD, "/srv/x", O_RDWR|O_CREAT|O_TRUNC|O_CLOEXEC, 0640) -> file [EEXIST: fine]',
    "  defer",
    "    close it, later:",
    "      close(file)",
    '  write(file, "line\\n", 5) whole',
    "  clone3({flags=CLONE_PIDFD|CLONE_NEWPID, exit_signal=17}, 88) -> init",
    "    init:",
    '      execve("/sbin/init", ["/sbin/init", "a b"], [])',
    "  wait(init.pidfd, 0)",
    "  end(0)",
  ]);
});

test("every line says what it is for and which line of which document it serves, in a column of its own", () => {
  const made = program((first) => {
    first.at = { file: "web1/config", line: 3, key: "lxc.rootfs.path" };
    call(first, "getpid", [], { note: "ask" });
    end(first, 0, "finish");
  });
  const lines = explainProgram(made).split("\n");
  assert.match(lines[1] ?? "", /^ {2}getpid\(\) +# ask \[web1\/config:3 lxc\.rootfs\.path\]$/);
  assert.equal(lines[1]?.indexOf("#"), lines[2]?.indexOf("#"));
});

test("places that something goes to have names, and the next place of the name is meant", () => {
  const made = program((first) => {
    const { build } = first;
    const root = slot(build, "root");
    for (const path of ["a", "b"]) {
      const [there, missing] = [label("there"), label("missing")];
      openat2(first, root, path, 0, 0, slot(build, path), { note: "open", on: goOn(missing, ENOENT) });
      jump(first, there, "it is there");
      place(first, missing);
      call(first, "mkdirat", [root, str(build, path), imm(0)], { note: "make it", on: ignore("any") });
      place(first, there);
    }
    const again = label("again");
    place(first, again);
    jump(first, again, "loop", "ne", root, imm(0));
    end(first, 0, "done");
  });
  const how = "{flags=O_RDONLY|O_CLOEXEC, mode=00, resolve=0}";
  assert.deepEqual(calls(made), [
    "monitor:",
    `  openat2(root, "a", ${how}, 24) -> a [ENOENT: go to missing]`,
    "  go to there",
    " missing:",
    '  mkdirat(root, "a", 0) [any error: fine]',
    " there:",
    `  openat2(root, "b", ${how}, 24) -> b [ENOENT: go to missing]`,
    "  go to there",
    " missing:",
    '  mkdirat(root, "b", 0) [any error: fine]',
    // A place further up is told by its number, too.
    " there:",
    " again:",
    "  if root != 0 go to again (operation 7 of monitor)",
    "  end(0)",
  ]);
});

test("operations that are no system call read like a program", () => {
  const made = program((first) => {
    const { build } = first;
    const [a, b] = [slot(build, "a"), slot(build, "b")];
    const room = buffer(build, 8, "room");
    compute(first, a, "set", imm(1), null, "set");
    compute(first, b, "or", a, imm(4), "or");
    store(first, a, room, 4, "store");
    load(first, b, room, 4, "load");
    format(first, buffer(build, 20, '"/proc/PID"'), "/proc/%", [a], "format");
    check(first, b, { note: "check" });
    tell(first, 1, "state", imm(2, "RUNNING"), "tell");
    call(first, "read", [a, room, imm(8)], { note: "read", waitIn: true, full: true });
    fail(first, ENOENT, { note: "fail" });
  });
  assert.deepEqual(calls(made).slice(1), [
    "  a = 1",
    "  b = a | 4",
    "  room = a (4 bytes)",
    "  b = room (4 bytes)",
    '  format("/proc/PID", 20, "/proc/%", a)',
    "  check(b)",
    "  tell_state(RUNNING)",
    "  read(a, room, 8) when readable whole",
    "  fail(ENOENT)",
  ]);
});

test("one operation more is one line more: nothing in the text counts operations", () => {
  const made = (more: boolean): readonly string[] =>
    explainProgram(
      program((first) => {
        const skip = label("skip");
        if (more) call(first, "getppid", [], { note: "one more" });
        jump(first, skip, "go", "eq", imm(1), imm(1));
        call(first, "getpid", [], { note: "ask" });
        place(first, skip);
        end(first, 0, "done");
      }),
    ).split("\n");
  const [short, long] = [made(false), made(true)];
  assert.deepEqual(
    long.filter((line) => !line.includes("getppid")),
    short,
  );
});

test("as data a program has numbers: of the operation, of the places rules and jumps lead to, and the blocks below", () => {
  const made = program((first) => {
    const over = label("over");
    call(first, "getpid", [], {
      note: "ask",
      out: slot(first.build, "pid"),
      on: [...goOn(over, ENOENT), ...ignore("any")],
    });
    jump(first, over, "skip");
    defer(first, "undo", "later", (undo) => {
      call(undo, "close", [imm(3)], { note: "close", at: { file: "c", line: 0, key: "k" } });
    });
    place(first, over);
    end(first, 0, "done");
  });
  const base = { process: "monitor", args: [], result: null, rules: [], target: null, source: null, block: null };
  assert.deepEqual(programJson(made), [
    {
      ...base,
      index: 0,
      operation: "call",
      call: "getpid",
      result: "pid",
      note: "ask",
      rules: [
        { on: "ENOENT", to: 3 },
        { on: "any", to: 1 },
      ],
    },
    { ...base, index: 1, operation: "jump", call: "jump", target: 3, note: "skip" },
    {
      ...base,
      index: 2,
      operation: "defer",
      call: "defer",
      note: "later",
      block: [
        {
          ...base,
          index: 4,
          process: "undo",
          operation: "call",
          call: "close",
          args: ["3"],
          note: "close",
          source: "c k",
        },
        { ...base, index: 5, process: "undo", operation: "end", call: "end", args: ["0"], note: "done" },
      ],
    },
    { ...base, index: 3, operation: "end", call: "end", args: ["0"], note: "done" },
  ]);
  assert.deepEqual(JSON.parse(JSON.stringify(programJson(made))), programJson(made));
});

test("what is shown is made only when somebody reads it", () => {
  let asked = 0;
  const made = program((first) => {
    call(first, "umask", [imm(18, () => `0${(asked += 1)}22`)], { note: "set it" });
    end(first, 0, "done");
  });
  assert.equal(asked, 0);
  assert.match(explainProgram(made), /umask\(0122\)/);
});
