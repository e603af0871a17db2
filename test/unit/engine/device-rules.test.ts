import assert from "node:assert/strict";
import { it } from "node:test";
import { decodeState } from "../../../src/engine/device-rules.js";

const exception = { type: "c", major: 1, minor: null, access: 7 };
const policy = { mode: "deny", exceptions: [exception] };
const state = { version: 1, cgroup: "123", entries: [{ program: 5, policy }] };

it("a state file is read as it was written", () => {
  assert.deepEqual(decodeState(JSON.parse(JSON.stringify(state))), state);
});

it("one that is not whole, or of another version, is none", () => {
  const bad: readonly unknown[] = [
    null,
    "",
    [],
    { ...state, version: 2 },
    { ...state, cgroup: 123 },
    { ...state, entries: {} },
    { ...state, entries: [null] },
    { ...state, entries: [{ program: -1, policy }] },
    { ...state, entries: [{ program: 5 }] },
    { ...state, entries: [{ program: 5, policy: { ...policy, mode: "x" } }] },
    ...[{ type: "a" }, { major: "1" }, { minor: 1.5 }, { access: 8 }, { access: null }].map((part) => ({
      ...state,
      entries: [{ program: 5, policy: { mode: "deny", exceptions: [{ ...exception, ...part }] } }],
    })),
  ];
  for (const value of bad) assert.equal(decodeState(value), null, JSON.stringify(value));
});
