/** sVirt with SELinux: a label for each guest, which tells it from all others (virSecuritySELinuxGenLabel of libvirt 9.0; lxc_contexts(5)). */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { errorCodes, errorDomains, LibvirtError } from "../errors.js";
import type { SecLabel } from "../xml/domain.js";

/** What the host's policy says of containers. */
export interface Selinux {
  /** What init and all that it starts gets, but for its categories. */
  readonly process: string;
  /** What the guest's own file systems get (/dev, ram). */
  readonly file: string;
  /** The daemon's own. */
  readonly daemon: string;
  readonly isEnforcing: boolean;
}

/** user:role:type:range; there is no range where the policy has no levels. */
interface Context {
  readonly user: string;
  readonly role: string;
  readonly type: string;
  readonly range: string | null;
}

const fault = (message: string): LibvirtError => new LibvirtError(errorCodes.internal, errorDomains.security, message);

const setting = (text: string, key: string): string | null =>
  new RegExp(`^\\s*${key}\\s*=\\s*["']?([^"'\\s#]+)`, "m").exec(text)?.[1] ?? null;

const textOf = (path: string): string | null => (existsSync(path) ? readFileSync(path, "utf8") : null);

/** The policy's file about containers; null: SELinux does not run here, or its policy knows none. `root`: of the host, for tests. */
export function lxcContextsFile(root: string = ""): string | null {
  if (!existsSync(`${root}/sys/fs/selinux/enforce`)) return null;
  const policy = setting(textOf(`${root}/etc/selinux/config`) ?? "", "SELINUXTYPE") ?? "targeted";
  const file = `${root}/etc/selinux/${policy}/contexts/lxc_contexts`;
  return existsSync(file) ? file : null;
}

/** As it is now: a policy can be loaded, and enforcing switched on and off, at any time. null as above. @throws LibvirtError 1 */
export function readSelinux(root: string = ""): Selinux | null {
  const file = lxcContextsFile(root);
  if (file === null) return null;
  const contexts = readFileSync(file, "utf8");
  const of = (key: string): string => {
    const value = setting(contexts, key);
    if (value === null) throw fault(`cannot read '${key}' value from selinux lxc contexts file '${file}'`);
    return value;
  };
  const [process, objects] = [of("process"), of("file")];
  // Some policies come with the file and without the types that it names.
  if (![process, objects].every((context) => isKnown(root, context))) return null;
  return {
    process,
    file: objects,
    daemon: labelIn(`${root}/proc/self/attr/current`),
    isEnforcing: textOf(`${root}/sys/fs/selinux/enforce`)?.trim() === "1",
  };
}

/** Whether the policy that is loaded has such a context (security_check_context(3)). */
function isKnown(root: string, context: string): boolean {
  try {
    writeFileSync(`${root}/sys/fs/selinux/context`, context);
    return true;
  } catch {
    return false;
  }
}

const labelIn = (file: string): string => readFileSync(file, "utf8").replace(/\0?\n?$/, "");

/** What a process is labelled with now. @throws LibvirtError 38: it has ended */
export function processLabel(pid: number): string {
  try {
    return labelIn(`/proc/${pid}/attr/current`);
  } catch (error) {
    const message = `unable to get PID ${pid} security context: No such process`;
    throw new LibvirtError(errorCodes.system, errorDomains.security, message, { cause: error });
  }
}

function parse(text: string): Context {
  const [, user, role, type, range] = /^([^:]+):([^:]+):([^:]+)(?::(.+))?$/.exec(text) ?? [];
  if (user === undefined || role === undefined || type === undefined)
    throw fault(`Unable to parse SELinux context '${text}'`);
  return { user, role, type, range: range ?? null };
}

const format = ({ user, role, type, range }: Context): string =>
  [user, role, type, ...(range === null ? [] : [range])].join(":");

/** The sensitivity and the categories that the daemon itself may use: of s0-s0:c0.c1023, s0 and 0 to 1023. */
function daemonsLevels(daemon: string): {
  readonly sensitivity: string;
  readonly first: number;
  readonly count: number;
} {
  const { range } = parse(daemon);
  const [low = "", high = low] = (range ?? "s0").split("-");
  const [sensitivity = ""] = low.split(":");
  const [, categories] = high.split(":");
  // Without any, all of them.
  const [, first = "0", last = "1023"] = /^c(\d+)\.c(\d+)$/.exec(categories ?? "c0.c1023") ?? [];
  const count = Number(last) - Number(first) + 1;
  if (count < 8) throw fault(`Category range c${first}-c${last} too small`);
  return { sensitivity, first: Number(first), count };
}

/**
 * A label of a running guest with what libvirt makes for it: a pair of categories that no other guest has, of a `dynamic` label; of a `static` one
 * the label of its file systems. `taken`: levels in use. `random`: a whole number from 0 to below its argument.
 */
export function completeLabel(
  given: SecLabel,
  { process, file, daemon }: Selinux,
  taken: ReadonlySet<string>,
  random: (below: number) => number,
): SecLabel {
  if (given.type === "none") return given;
  const { user, role } = parse(daemon);
  const imageOf = (range: string | null): string => format({ ...parse(file), user, range });
  if (given.type === "static") {
    const { range } = parse(given.label ?? "");
    return { ...given, imageLabel: imageOf(range) };
  }
  const { sensitivity, first, count } = daemonsLevels(daemon);
  for (;;) {
    const pair = [random(count), random(count)].sort((a, b) => a - b);
    const range = `${sensitivity}:${pair.map((each) => `c${each + first}`).join()}`;
    // One category alone would be a part of other guests' pairs.
    if (pair[0] === pair[1] || taken.has(range)) continue;
    const label = format({ ...parse(given.baseLabel ?? process), user, role, range });
    return { ...given, label, imageLabel: imageOf(range) };
  }
}

/** The level that a guest's label takes from the others; null: none. */
export const levelOf = ({ label }: Pick<SecLabel, "label">): string | null =>
  label === null ? null : parse(label).range;

/** Of a domain whose document says nothing. */
export const usualLabel: SecLabel = {
  type: "dynamic",
  model: "selinux",
  relabel: true,
  label: null,
  baseLabel: null,
  imageLabel: null,
};
