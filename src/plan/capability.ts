import { type Block, buffer, call, data, imm, store, within } from "../program/assembler.js";
import { PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS } from "../sys/flags.js";
import { capabilityName } from "../sys/capability.js";
import { EINVAL } from "../sys/errno.js";
import type { CapabilityRule } from "../spec/security.js";

/** Whether the main process keeps a capability in its bounding set. */
export function keepsCapability(rule: CapabilityRule, number: number): boolean {
  return rule.kind === "drop" ? !rule.capabilities.includes(number) : rule.capabilities.includes(number);
}

/** The capabilities that leave the bounding set. */
export function droppedCapabilities(rule: CapabilityRule, last: number): readonly number[] {
  const out: number[] = [];
  for (let number = 0; number <= last; number += 1) if (!keepsCapability(rule, number)) out.push(number);
  return out;
}

/** prctl(PR_CAPBSET_DROP) for each: root in the container gets what is left at exec (capabilities(7)). */
export function dropCapabilities(block: Block, rule: CapabilityRule, last: number): void {
  clearInheritable(block);
  for (const number of droppedCapabilities(rule, last)) {
    call(
      block,
      "prctl",
      [
        imm(PR_CAPBSET_DROP, "PR_CAPBSET_DROP"),
        imm(number, () => `CAP_${capabilityName(number).toUpperCase()}`),
        imm(0),
        imm(0),
        imm(0),
      ],
      {
        note: `drop the capability ${capabilityName(number)}`,
        on: [{ on: EINVAL, to: "next" }],
      },
    );
  }
}

export function noNewPrivileges(block: Block): void {
  call(block, "prctl", [imm(PR_SET_NO_NEW_PRIVS, "PR_SET_NO_NEW_PRIVS"), imm(1), imm(0), imm(0), imm(0)], {
    note: "set no_new_privs",
  });
}

/**
 * What an ancestor made inheritable goes: at exec root would get it back in spite of the bounding set (capabilities(7): P'(permitted) has
 * P(inheritable) & F(inheritable), and root's F(inheritable) is full).
 */
function clearInheritable(block: Block): void {
  const { build } = block;
  const version3 = new Uint8Array([0x22, 0x05, 0x08, 0x20, 0, 0, 0, 0]);
  const sets = buffer(build, 24, "{effective, permitted, inheritable}");
  const note = "inherit no capability";
  call(block, "capget", [data(build, version3, "{_LINUX_CAPABILITY_VERSION_3, 0}"), sets], { note });
  for (const offset of [8, 20]) store(block, imm(0), within(sets, offset, 4, "inheritable"), 4, note);
  call(block, "capset", [data(build, version3, "{_LINUX_CAPABILITY_VERSION_3, 0}"), sets], { note });
}
