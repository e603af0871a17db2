import { type Block, call, imm } from "../program/assembler.js";
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
