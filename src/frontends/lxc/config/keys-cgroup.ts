/** Rows: control groups. */
import type { NamedText } from "./model.js";
import { flagKey, type KeyRow, lines, type ListField, listOf, setList, textKey } from "./row.js";
import { Problem, type Read, relativePath } from "./scalars.js";

/** lxc.cgroup.* and lxc.cgroup2.*: every line counts, in order. */
function cgroupFamily(
  prefix: "lxc.cgroup" | "lxc.cgroup2",
  field: ListField<NamedText>,
  since: string,
  doc: string,
  gone: { readonly gone?: string },
): readonly KeyRow[] {
  return [
    {
      key: prefix,
      kind: "group",
      since,
      ...gone,
      doc: `All of ${prefix}.FILE; can only be cleared.`,
      set: () => new Problem(`${prefix} takes no value: write ${prefix}.CONTROLLER.FILE = VALUE`),
      clear: (draft) => {
        setList<NamedText>(draft, field, []);
        return undefined;
      },
      get: (values) =>
        lines(listOf<NamedText>(values, field).map(({ value }) => `${prefix}.${value.name} = ${value.value}`)),
    },
    {
      key: `${prefix}.`,
      rest: "CONTROLLER.FILE",
      kind: "family",
      since,
      ...gone,
      doc,
      set: (draft, value, at, name) => {
        if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(name))
          return new Problem(`"${name}" is not a file of a control group`);
        listOf<NamedText>(draft, field).push({ value: { name, value }, at });
        return undefined;
      },
      clear: (draft, name) => {
        setList<NamedText>(
          draft,
          field,
          listOf<NamedText>(draft, field).filter((item) => item.value.name !== name),
        );
        return undefined;
      },
      get: (values, name) =>
        lines(
          listOf<NamedText>(values, field)
            .filter((item) => item.value.name === name)
            .map((item) => item.value.value),
        ),
    },
  ];
}

const oneComponent: Read<string> = (value) => {
  const path = relativePath(value);
  return path instanceof Problem || !path.includes("/")
    ? path
    : new Problem(`"${value}" must be a single name without a slash`);
};

export const cgroupRows: readonly KeyRow[] = [
  ...cgroupFamily(
    "lxc.cgroup2",
    "cgroup2",
    "3.0",
    "Written to a file of the container's control group in the unified hierarchy.",
    {},
  ),
  ...cgroupFamily("lxc.cgroup", "cgroup", "0.7", "The same for hierarchies of version 1.", { gone: "7.0" }),
  flagKey("lxc.cgroup.relative", "cgroupRelative", false, {
    since: "3.1",
    doc: "1: below the control group of whoever starts the container.",
  }),
  textKey(
    "lxc.cgroup.dir",
    "cgroupDir",
    { since: "2.1", doc: "Directory for the control groups of the container and its monitor." },
    relativePath,
  ),
  textKey(
    "lxc.cgroup.dir.container",
    "cgroupContainer",
    { since: "5.0", doc: "Control group of the container; together with lxc.cgroup.dir.monitor." },
    relativePath,
  ),
  textKey(
    "lxc.cgroup.dir.monitor",
    "cgroupMonitor",
    { since: "5.0", doc: "Control group of the monitor." },
    relativePath,
  ),
  textKey(
    "lxc.cgroup.dir.monitor.pivot",
    "cgroupPivot",
    { since: "5.0", doc: "Where the monitor goes while it removes its own control group." },
    relativePath,
  ),
  textKey(
    "lxc.cgroup.dir.container.inner",
    "cgroupInner",
    { since: "5.0", doc: "A further control group that the container sees as its root; the limits stay outside." },
    oneComponent,
  ),
];
