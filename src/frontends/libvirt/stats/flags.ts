import { errorCodes, errorDomains, LibvirtError } from "../errors.js";

/** What the filters of lists look at. */
export interface FilteredDomain {
  readonly isActive: boolean;
  readonly isPersistent: boolean;
  /** virDomainState: 1 running, 3 paused, 5 shut off. */
  readonly state: number;
  readonly isAutostart: boolean;
}

type Test = (domain: FilteredDomain) => boolean;

const no: Test = () => false;
const yes: Test = () => true;

const autostart = { yes: 1024, no: 2048 } as const;

/** virConnectListAllDomainsFlags: within a group any will do, of the groups each must. A container has no saved image, snapshot or checkpoint. */
const groups: readonly (readonly (readonly [flag: number, test: Test])[])[] = [
  [
    [1, ({ isActive }) => isActive],
    [2, ({ isActive }) => !isActive],
  ],
  [
    [4, ({ isPersistent }) => isPersistent],
    [8, ({ isPersistent }) => !isPersistent],
  ],
  [
    [16, ({ state }) => state === 1],
    [32, ({ state }) => state === 3],
    [64, ({ state }) => state === 5],
    [128, ({ state }) => ![1, 3, 5].includes(state)],
  ],
  [
    [256, no],
    [512, yes],
  ],
  [
    [autostart.yes, ({ isAutostart }) => isAutostart],
    [autostart.no, ({ isAutostart }) => !isAutostart],
  ],
  [
    [4096, no],
    [8192, yes],
  ],
  [
    [16_384, no],
    [32_768, yes],
  ],
];

/** Whether a list's flags ask for it. */
export const listsAutostart = (flags: number): boolean => (flags & (autostart.yes | autostart.no)) !== 0;

/** Every flag of every group. */
export const listFlags = 0xffff;

/** What CONNECT_LIST_ALL_DOMAINS wants with these flags; 0: every domain. A group of which no flag is set lets all pass. Throws 8. */
export function listFilter(flags: number, name = "lxcConnectListAllDomains"): (domain: FilteredDomain) => boolean {
  checkFlags(flags, listFlags, name);
  const wanted = groups
    .map((group) => group.filter(([flag]) => (flags & flag) !== 0).map(([, test]) => test))
    .filter((tests) => tests.length > 0);
  return (domain) => wanted.every((tests) => tests.some((test) => test(domain)));
}

/** Throws libvirt's own line where a bit is set that `known` has not; `name`: libvirt's function, as clients show it. */
export function checkFlags(flags: number, known: number, name: string): void {
  const unknown = (flags & ~known) >>> 0;
  if (unknown === 0) return;
  const detail = `unsupported flags (0x${unknown.toString(16)}) in function ${name}`;
  throw new LibvirtError(errorCodes.invalidArgument, errorDomains.lxc, detail, { bare: true });
}
