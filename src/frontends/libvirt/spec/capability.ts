/** <features><capabilities> as a rule of what the guest keeps. */
import { capabilityNumber } from "../../../spec/capability.js";
import type { CapabilityRule } from "../../../spec/security.js";
import type { Capabilities } from "../xml/domain.js";

/** What a guest of libvirt's does not have unless it asks for it: the host's kernel, clock, devices and policies are not its own. */
const usuallyDropped = ["sys_module", "sys_time", "mknod", "audit_control", "mac_admin"] as const;

const numbers = (names: readonly string[]): readonly number[] =>
  names.flatMap((name) => capabilityNumber(name) ?? []).sort((a, b) => a - b);

export function capabilityRule(given: Capabilities | null): CapabilityRule {
  const states = given?.states ?? [];
  const on = states.filter((state) => state.on).map((state) => state.name);
  const off = states.filter((state) => !state.on).map((state) => state.name);
  const policy = given?.policy ?? "default";
  switch (policy) {
    case "default": {
      const dropped = new Set([...usuallyDropped.filter((name) => !on.includes(name)), ...off]);
      return { kind: "drop", capabilities: numbers([...dropped]) };
    }
    case "allow":
      return { kind: "drop", capabilities: numbers(off) };
    case "deny":
      return { kind: "keep", capabilities: numbers(on) };
    default:
      return policy satisfies never;
  }
}

/** May the guest make device nodes? */
export function mayMakeNodes(rule: CapabilityRule): boolean {
  const mknod = capabilityNumber("mknod") ?? -1;
  return rule.kind === "drop" ? !rule.capabilities.includes(mknod) : rule.capabilities.includes(mknod);
}

/** The rule as a document says it: null where it is the usual one. */
export function capabilitiesOf(rule: CapabilityRule, nameOf: (number: number) => string): Capabilities | null {
  const names = rule.capabilities.map(nameOf);
  if (rule.kind === "keep") return { policy: "deny", states: names.map((name) => ({ name, on: true })).sort(byName) };
  const usual = new Set<string>(usuallyDropped);
  if (usuallyDropped.every((name) => names.includes(name))) {
    const more = names.filter((name) => !usual.has(name));
    return more.length === 0
      ? null
      : { policy: "default", states: more.map((name) => ({ name, on: false })).sort(byName) };
  }
  return { policy: "allow", states: names.map((name) => ({ name, on: false })).sort(byName) };
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : 1;
}
