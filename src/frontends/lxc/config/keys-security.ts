/** Rows: id maps, namespaces, capabilities, security modules, seccomp. */
import { CAP_LAST_CAP, capabilityName, capabilityNumber } from "../../../spec/capability.js";
import type { NamespaceKind } from "../../../spec/namespace.js";
import { splitWords } from "./grammar.js";
import type { CapabilityValue, Draft, Item } from "./model.js";
import { flagKey, type KeyRow, lines, linesKey, pathKey, textKey } from "./row.js";
import { Problem, type Read, unsigned } from "./scalars.js";

/** LXC's names, in the order in which it prints them. */
export const namespaceNames: Readonly<Record<string, NamespaceKind>> = {
  user: "user",
  mnt: "mount",
  pid: "pid",
  uts: "uts",
  ipc: "ipc",
  net: "net",
  cgroup: "cgroup",
  time: "time",
};

function namespaceOf(name: string): NamespaceKind | Problem {
  const kind = Object.hasOwn(namespaceNames, name) ? namespaceNames[name] : undefined;
  return kind ?? new Problem(`"${name}" is not a namespace: ${Object.keys(namespaceNames).join(" ")}`);
}

function namespaceListKey(
  key: string,
  field: "namespaceClone" | "namespaceKeep",
  other: "namespaceClone" | "namespaceKeep",
  doc: string,
): KeyRow {
  return {
    key,
    kind: "words",
    since: "3.0",
    doc,
    set: (draft, value, at) => {
      if (draft[other].length > 0)
        return new Problem("lxc.namespace.clone and lxc.namespace.keep are mutually exclusive");
      for (const word of splitWords(value)) {
        const kind = namespaceOf(word);
        if (kind instanceof Problem) return kind;
        draft[field].push({ value: kind, at });
      }
      return undefined;
    },
    clear: (draft) => {
      draft[field] = [];
      return undefined;
    },
    get: (values) =>
      lines(
        Object.keys(namespaceNames).filter((name) => values[field].some((item) => item.value === namespaceNames[name])),
      ),
  };
}

const anyId = unsigned();

function capability(word: string): CapabilityValue | Problem {
  const number = capabilityNumber(word);
  if (number === undefined || number > CAP_LAST_CAP) return new Problem(`Invalid capability specified: "${word}"`);
  return { number, name: /^[0-9]/.test(word) ? String(number) : capabilityName(number) };
}

function addCapabilities(
  list: Item<CapabilityValue>[],
  value: string,
  at: Item<CapabilityValue>["at"],
  none: boolean,
): Problem | undefined {
  for (const word of splitWords(value)) {
    if (none && word === "none") {
      list.length = 0;
      continue;
    }
    const result = capability(word);
    if (result instanceof Problem) return result;
    list.push({ value: result, at });
  }
  return undefined;
}

const exclusive = "Keeping and dropping capabilities are mutually exclusive";

const proxy: Read<string> = (value) =>
  value.startsWith("unix:") && value.length > 5
    ? value.slice(5)
    : new Problem(`"${value}" is not unix:/PATH or unix:@NAME`);

const newIdMap = (draft: Draft, value: string, at: Item<never>["at"]): Problem | undefined => {
  const [type, ...numbers] = splitWords(value);
  const [inside, outside, count] = numbers.map((word) => anyId(word));
  if (
    type === undefined ||
    !/^[ugb]$/.test(type) ||
    numbers.length !== 3 ||
    typeof inside !== "number" ||
    typeof outside !== "number" ||
    typeof count !== "number"
  ) {
    return new Problem(
      `"${value}" is not an id map: write u, g or b, first id inside, first id on the host, number of ids`,
    );
  }
  for (const one of type === "b" ? (["u", "g"] as const) : [type as "u" | "g"])
    draft.idmap.push({ value: { type: one, inside, outside, count }, at });
  return undefined;
};

export const securityRows: readonly KeyRow[] = [
  {
    key: "lxc.idmap",
    kind: "lines",
    since: "2.1",
    doc: "u or g (or b for both), first id inside, first id on the host, number of ids. Any of them makes a user namespace.",
    set: newIdMap,
    clear: (draft) => {
      draft.idmap = [];
      return undefined;
    },
    get: (values) =>
      values.idmap.map(({ value: map }) => `${map.type} ${map.inside} ${map.outside} ${map.count}`).join("\n"),
  },
  namespaceListKey(
    "lxc.namespace.clone",
    "namespaceClone",
    "namespaceKeep",
    "Namespaces to create instead of the usual ones: user mnt pid uts ipc net cgroup time.",
  ),
  namespaceListKey(
    "lxc.namespace.keep",
    "namespaceKeep",
    "namespaceClone",
    "Namespaces to share with whoever starts the container.",
  ),
  {
    key: "lxc.namespace.share.",
    rest: "NS",
    kind: "family",
    since: "3.0",
    doc: "A namespace to join: that of a process id, of a container's name, or of /lxcpath/name.",
    set: (draft, value, at, rest) => {
      const kind = namespaceOf(rest);
      if (kind instanceof Problem) return kind;
      draft.namespaceShare.set(kind, { value, at });
      return undefined;
    },
    clear: (draft, rest) => {
      const kind = namespaceOf(rest);
      if (kind instanceof Problem) return kind;
      draft.namespaceShare.delete(kind);
      return undefined;
    },
    get: (values, rest) => {
      const kind = namespaceOf(rest);
      return kind instanceof Problem ? null : (values.namespaceShare.get(kind)?.value ?? "");
    },
  },
  {
    key: "lxc.cap.drop",
    kind: "words",
    since: "0.7",
    doc: "Capabilities to take away: names without cap_, or numbers.",
    set: (draft, value, at) =>
      draft.capKeepMode ? new Problem(exclusive) : addCapabilities(draft.capDrop, value, at, false),
    clear: (draft) => {
      draft.capDrop = [];
      return undefined;
    },
    get: (values) => lines(values.capDrop.map((item) => item.value.name)),
  },
  {
    key: "lxc.cap.keep",
    kind: "words",
    since: "1.0",
    doc: "The only capabilities to keep; none empties the list (and keeps nothing). Not together with lxc.cap.drop.",
    set: (draft, value, at) => {
      if (draft.capDrop.length > 0) return new Problem(exclusive);
      draft.capKeepMode = true;
      return addCapabilities(draft.capKeep, value, at, true);
    },
    clear: (draft) => {
      draft.capKeep = [];
      draft.capKeepMode = false;
      return undefined;
    },
    get: (values) => lines(values.capKeep.map((item) => item.value.name)),
  },
  textKey("lxc.apparmor.profile", "apparmorProfile", {
    since: "2.1",
    doc: "AppArmor profile: a name, unconfined, unchanged or generated.",
  }),
  flagKey("lxc.apparmor.allow_incomplete", "apparmorIncomplete", false, {
    since: "2.1",
    doc: "1: start although the kernel's AppArmor cannot mediate mounts.",
  }),
  flagKey("lxc.apparmor.allow_nesting", "apparmorNesting", false, {
    since: "3.1",
    doc: "1: a generated profile that allows containers inside.",
  }),
  linesKey("lxc.apparmor.raw", "apparmorRaw", { since: "3.1", doc: "A further line of the generated profile." }),
  textKey("lxc.selinux.context", "selinuxContext", { since: "2.1", doc: "SELinux context of the container." }),
  textKey("lxc.selinux.context.keyring", "selinuxKeyring", { since: "4.0", doc: "SELinux context of its keyring." }),
  pathKey("lxc.seccomp.profile", "seccompProfile", {
    since: "2.1",
    doc: "File with a seccomp policy, version 1 or 2.",
  }),
  flagKey("lxc.seccomp.allow_nesting", "seccompNesting", false, {
    since: "3.2",
    doc: "1: add the policy although a filter is in force already.",
  }),
  textKey(
    "lxc.seccomp.notify.proxy",
    "seccompProxy",
    { since: "3.2", doc: "unix:/PATH or unix:@NAME of the program that answers seccomp notifications." },
    proxy,
  ),
  textKey("lxc.seccomp.notify.cookie", "seccompCookie", {
    since: "3.2",
    doc: "Text that is passed along with each notification.",
  }),
];
