import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as fc from "fast-check";

import { closeFd, memfd, run } from "../../../src/host/addon.js";
import {
  beginProgram,
  buffer,
  call,
  check,
  clone,
  compute,
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
  nil,
  place,
  presetSlot,
  slot,
  store,
  str,
  tell,
  within,
  type Arithmetic,
  type Block,
  type Comparison,
} from "../../../src/program/assembler.js";
import { cloneArguments, close, openat, openat2, pair, writeText } from "../../../src/program/calls.js";
import { encodeProgram } from "../../../src/program/encode.js";
import type { LaunchProgram, Slot } from "../../../src/program/ops.js";
import { decodeRecord, failureError } from "../../../src/program/report.js";
import { EACCES, EBADF, ENOENT } from "../../../src/sys/errno.js";
import { currentArch } from "../../support/image.js";

/** Small programs, really run in this process: what the assembler means is what the interpreter does. */

interface Outcome {
  /** The result of END, or the failure in words. */
  readonly result: number | string;
  readonly slots: Readonly<Record<string, number>>;
  readonly program: LaunchProgram;
}

function execute(build: (first: Block) => void, given: readonly number[] = []): Outcome {
  const first = beginProgram(currentArch, "first");
  build(first);
  const program = finishProgram(first.build);
  const done = run(encodeProgram(program), given);
  if (done.kind === "ok") {
    const slots = Object.fromEntries(program.slots.map((name, index) => [name, done.slots[index] ?? 0]));
    return { result: done.result, slots, program };
  }
  const record = decodeRecord(done.record);
  assert.ok(record !== null);
  return { result: failureError(program, record, "ISLET_OPERATION_FAILED").message, slots: {}, program };
}

test("system calls get their arguments, and slots their results", () => {
  const { result, slots } = execute((first) => {
    const { build } = first;
    const [read, write, count, text] = [
      slot(build, "read"),
      slot(build, "write"),
      slot(build, "count"),
      buffer(build, 16, ""),
    ];
    pair(first, "pipe", read, write, "make a pipe");
    writeText(first, write, "hello", { note: "write" });
    call(first, "read", [read, text, imm(16)], { note: "read", out: count });
    const letter = slot(build, "letter");
    load(first, letter, within(text, 1, 1), 1, "take the second letter");
    close(first, read, "close");
    close(first, write, "close");
    end(first, count, "done");
  });
  assert.deepEqual([result, slots["letter"]], [5, "e".charCodeAt(0)]);
});

/** A file for what a program writes: given to it in its first slot. */
function withFile(build: (first: Block, file: Slot) => void): { readonly outcome: Outcome; readonly text: string } {
  const fd = memfd("islt", new Uint8Array(0), false);
  try {
    const outcome = execute((first) => build(first, presetSlot(first.build, "file")), [fd]);
    return { outcome, text: readFileSync(`/proc/self/fd/${fd}`, "utf8") };
  } finally {
    closeFd(fd);
  }
}

test("a preset slot holds the descriptor that was given", () => {
  const { outcome, text } = withFile((first, file) => {
    writeText(first, file, "through the slot", { note: "write" });
    end(first, 0, "done");
  });
  assert.deepEqual([outcome.result, text], [0, "through the slot"]);
});

test("the first rule that fits an error decides where it goes on; the slot holds the error", () => {
  const attempt = (path: string, ...fine: readonly (number | "any")[]): Outcome =>
    execute((first) => {
      const fd = slot(first.build, "fd");
      const elsewhere = label("elsewhere");
      openat(first, imm(-100), path, 0, fd, {
        note: `open ${path}`,
        on: [...goOn(elsewhere, ENOENT), ...ignore(...fine)],
      });
      end(first, 1, "next");
      place(first, elsewhere);
      end(first, 2, "elsewhere");
    });
  const missing = attempt("/islt/no/such/file", "any");
  assert.deepEqual([missing.result, missing.slots["fd"]], [2, -ENOENT]);
  assert.equal(attempt("/etc/passwd/x", EACCES, "any").result, 1);
  assert.match(
    String(attempt("/etc/passwd/x", EACCES).result),
    /^cannot open \/etc\/passwd\/x: ENOTDIR \(Not a directory\)/,
  );
});

test("deferred blocks run last first, on success and on failure, and an error in one does not stop the others", () => {
  for (const broken of [false, true]) {
    const { outcome, text } = withFile((first, file) => {
      for (const name of ["a", "b", "c"]) {
        defer(first, name, `later ${name}`, (undo) => {
          writeText(undo, file, name, { note: "write" });
          if (name === "b") fail(undo, 5, { note: "b breaks" });
          writeText(undo, file, name.toUpperCase(), { note: "write" });
        });
      }
      writeText(first, file, "main ", { note: "write" });
      if (broken) fail(first, 22, { note: "broken" });
      defer(first, "d", "later d", (undo) => writeText(undo, file, "d", { note: "write" }));
      end(first, 0, "done");
    });
    assert.deepEqual([outcome.result, text], broken ? ["broken", "main cCbaA"] : [0, "main dcCbaA"]);
  }
});

test("numbers are computed with 64 bits, and comparisons are signed", () => {
  const arithmetic: Readonly<Record<Arithmetic, (a: bigint, b: bigint) => bigint>> = {
    set: (a) => a,
    add: (a, b) => a + b,
    sub: (a, b) => a - b,
    or: (a, b) => a | b,
    and: (a, b) => a & b,
    shl: (a, b) => a << b,
  };
  const comparisons: Readonly<Record<Exclude<Comparison, "always">, (a: bigint, b: bigint) => boolean>> = {
    eq: (a, b) => a === b,
    ne: (a, b) => a !== b,
    lt: (a, b) => a < b,
    ge: (a, b) => a >= b,
  };
  const small = fc.bigInt({ min: -(1n << 31n), max: (1n << 31n) - 1n });
  fc.assert(
    fc.property(fc.constantFrom(...(Object.keys(arithmetic) as Arithmetic[])), small, small, (how, a, given) => {
      const b = how === "shl" ? BigInt.asUintN(4, given) : given;
      const { slots } = execute((first) => {
        compute(first, slot(first.build, "out"), how, imm(a), how === "set" ? null : imm(b), "compute");
        end(first, 0, "done");
      });
      assert.equal(slots["out"], Number(arithmetic[how](a, b)), `${how} ${a} ${b}`);
    }),
    { numRuns: 100 },
  );
  fc.assert(
    fc.property(
      fc.constantFrom("eq", "ne", "lt", "ge"),
      small,
      fc.oneof(small, fc.constant(null)),
      (when, a, other) => {
        const b = other ?? a;
        const { result } = execute((first) => {
          const yes = label("yes");
          jump(first, yes, "compare", when, imm(a), imm(b));
          end(first, 0, "no");
          place(first, yes);
          end(first, 1, "yes");
        });
        assert.equal(result, comparisons[when](a, b) ? 1 : 0, `${a} ${when} ${b}`);
      },
    ),
    { numRuns: 100 },
  );
});

test("a value that was stored is loaded again, in every width, with its sign or without", () => {
  fc.assert(
    fc.property(fc.constantFrom<1 | 2 | 4 | 8>(1, 2, 4, 8), fc.integer(), fc.boolean(), (width, value, signed) => {
      const { slots } = execute((first) => {
        const room = buffer(first.build, 16, "room");
        const out = slot(first.build, "out");
        store(first, imm(-1), within(room, 0, 8), 8, "fill");
        store(first, imm(value), room, width, "store");
        load(first, out, room, width, "load", signed);
        end(first, 0, "done");
      });
      const bits = width * 8;
      const expected = signed || width === 8 ? BigInt.asIntN(bits, BigInt(value)) : BigInt.asUintN(bits, BigInt(value));
      assert.equal(slots["out"], Number(expected));
    }),
    { numRuns: 200 },
  );
});

test("texts are completed with numbers at run time", () => {
  const { result, slots } = execute((first) => {
    const { build } = first;
    const [text, length, pid, fd] = [
      buffer(build, 40, "path"),
      slot(build, "length"),
      slot(build, "pid"),
      slot(build, "fd"),
    ];
    call(first, "getpid", [], { note: "who am I", out: pid });
    format(first, text, "/proc/%/fd/%", [pid, imm(0)], "write the path", length);
    format(first, text, "/proc/%/status", [pid], "write another", length);
    openat(first, imm(-100), text, 0, fd, { note: "open it" });
    close(first, fd, "close it");
    end(first, length, "done");
  });
  assert.equal(result, `/proc/${process.pid}/status`.length);
  assert.equal(slots["pid"], process.pid);
});

test("a text that does not fit is an error", () => {
  const { result } = execute((first) => {
    format(first, buffer(first.build, 4, "room"), "%", [imm(12345)], "write the number");
    end(first, 0, "done");
  });
  assert.match(String(result), /cannot write the number: ENAMETOOLONG/);
});

test("CHECK takes a negative number as the error it stands for", () => {
  const attempt = (value: number): number | string =>
    execute((first) => {
      check(first, imm(value), { note: "look at the answer" });
      end(first, 0, "done");
    }).result;
  assert.equal(attempt(0), 0);
  assert.equal(attempt(17), 0);
  assert.match(String(attempt(-EBADF)), /cannot look at the answer: EBADF/);
});

test("a failure says what was wanted, the call with the values it had, and the error in words", () => {
  const { result } = execute((first) => {
    const root = slot(first.build, "root");
    compute(first, root, "set", imm(-5), null, "a descriptor that is none");
    openat2(first, root, "proc", 0, 16, slot(first.build, "out"), { note: "open /proc" });
    end(first, 0, "done");
  });
  assert.match(
    String(result),
    /^cannot open \/proc: EBADF \(Bad file descriptor\) \[openat2\(-5, "proc", \{flags=O_RDONLY\|O_CLOEXEC, mode=00, resolve=\w+\}, 24\)\]$/,
  );
});

test("in a process with threads no child is made and nobody is told", () => {
  const cloning = execute((first) => {
    clone(first, "child", cloneArguments(first, 0n, 17, null, null), { note: "start a child" }, (child) => {
      end(child, 0, "leave");
    });
    end(first, 0, "done");
  });
  assert.match(String(cloning.result), /^cannot start a child: EPERM/);
  const telling = execute((first) => {
    tell(first, 1, "state", imm(1), "it runs");
    end(first, 0, "done");
  });
  assert.match(String(telling.result), /^cannot take note that "it runs": ENOSYS/);
});

test("a string is what the kernel gets", () => {
  const { result } = execute((first) => {
    call(first, "chdir", [str(first.build, process.cwd())], { note: "stay" });
    call(first, "mount", [nil, str(first.build, "/islt/none"), nil, imm(0), nil], {
      note: "mount nothing",
      on: ignore("any"),
    });
    end(first, 7, "done");
  });
  assert.equal(result, 7);
});
