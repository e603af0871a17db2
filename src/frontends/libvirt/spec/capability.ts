/** <features><capabilities> as a rule of what the guest keeps. */
import { capabilityName, capabilityNumber } from "../../../spec/capability.js";
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

/** The last one that has a name in libvirt's documents: of the later ones its policies speak all the same. */
const lastNamed = capabilityNumber("block_suspend") ?? 36;

/** The rule as a document says it: null where it is the usual one. */
export function capabilitiesOf(rule: CapabilityRule): Capabilities | null {
  const names = rule.capabilities
    .filter((number) => number <= lastNamed)
    .map(capabilityName)
    .sort();
  const states = (some: readonly string[], on: boolean): Capabilities["states"] => some.map((name) => ({ name, on }));
  if (rule.kind === "keep") return { policy: "deny", states: states(names, true) };
  const usual = new Set<string>(usuallyDropped);
  if (!usuallyDropped.every((name) => names.includes(name))) return { policy: "allow", states: states(names, false) };
  const more = names.filter((name) => !usual.has(name));
  return more.length === 0 ? null : { policy: "default", states: states(more, false) };
}
