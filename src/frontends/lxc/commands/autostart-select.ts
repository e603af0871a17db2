/** Which containers lxc-autostart means, and in which order. */

export interface Candidate {
  readonly name: string;
  /** lxc.start.auto = 1, or a link in /etc/lxc/auto. */
  readonly auto: boolean;
  /** lxc.start.order */
  readonly order: number;
  /** lxc.start.delay, seconds. */
  readonly delay: number;
  readonly groups: readonly string[];
}

export interface Choice {
  /** In the order in which they are gone through; "" stands for containers without a group. */
  readonly groups: readonly string[];
  /** -a: groups do not count. */
  readonly all: boolean;
  /** -A: `auto` does not count. */
  readonly ignoreAuto: boolean;
  /** Stopping goes backwards. */
  readonly reverse: boolean;
}

/** The words of all -g, each once; without any, containers without a group are meant. */
export function groupList(values: readonly string[]): readonly string[] {
  const groups = new Set(values.flatMap((value) => value.split(",")));
  return groups.size === 0 ? [""] : [...groups];
}

const isIn = (candidate: Candidate, group: string): boolean =>
  group === "" ? candidate.groups.length === 0 : candidate.groups.includes(group);

/** By lxc.start.order, then by name as bytes. */
export function byOrder(left: Candidate, right: Candidate): number {
  return left.order - right.order || Buffer.compare(Buffer.from(left.name), Buffer.from(right.name));
}

/**
 * The containers in order, each once: group after group, within a group by lxc.start.order. Those of one group with the same order stand
 * together in a step; nothing says that one of them must be first.
 */
export function selectSteps(candidates: readonly Candidate[], choice: Choice): readonly (readonly Candidate[])[] {
  const sorted = candidates.filter((one) => one.auto || choice.ignoreAuto).sort(byOrder);
  if (choice.reverse) sorted.reverse();
  const seen = new Set<string>();
  const steps: Candidate[][] = [];
  for (const group of choice.all ? [""] : choice.groups) {
    let last: number | null = null;
    for (const one of sorted) {
      if (seen.has(one.name) || !(choice.all || isIn(one, group))) continue;
      seen.add(one.name);
      if (one.order === last) steps.at(-1)?.push(one);
      else steps.push([one]);
      last = one.order;
    }
  }
  return steps;
}
