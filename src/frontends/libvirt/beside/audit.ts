import type { DomainDoc, Filesystem, Hostdev } from "../xml/domain.js";
import type { AuditRecord } from "./services.js";

/** What the kernel's audit is told of domains, in libvirt's words (domain_audit.c of libvirt 9.0): existing rules and ausearch(8) find it. */

/** AUDIT_VIRT_* of linux/audit.h. */
const types = { control: 2500, resource: 2501, machineId: 2502 } as const;

export type StopReason = "shutdown" | "destroyed" | "failed" | "reboot";

/** A process of the guest on the host, and the inode of its pid namespace; null: it did not start. */
export interface Begun {
  readonly pid: number;
  readonly pidNamespace: number | null;
  /** Paths of the host's ptys that are its consoles. */
  readonly consoles: readonly (string | null)[];
}

/** A domain has been started, or has failed to. */
export function startRecords(doc: DomainDoc, begun: Begun | null): readonly AuditRecord[] {
  const amount = (name: "mem" | "vcpu", value: bigint | number): AuditRecord =>
    resource(doc, `resrc=${name} reason=start`, `old-${name}=0 new-${name}=${value}`);
  const consoles = (begun?.consoles ?? []).filter((path) => path !== null);
  return [
    ...doc.seclabels.filter(({ model }) => model !== null).map((label) => labelRecord(doc, label)),
    ...things(doc).map((thing) => thingRecord(doc, thing, "start")),
    ...consoles.map((what) => thingRecord(doc, { kind: "chardev", what }, "start")),
    amount("mem", doc.memory),
    amount("vcpu", doc.vcpu.current ?? doc.vcpu.count),
    control(doc, "op=start reason=booted", `vm-pid=${begun?.pid ?? 0}`, begun !== null),
    ...(begun === null || begun.pidNamespace === null
      ? []
      : [control(doc, "op=init", `vm-pid=${begun.pid} init-pid=${begun.pid} pid-ns=${begun.pidNamespace}`, true)]),
  ];
}

export const stopRecords = (doc: DomainDoc, reason: StopReason): readonly AuditRecord[] => [
  control(doc, `op=stop reason=${reason}`, "vm-pid=0", true),
];

/** Devices that were added to a running domain, and those that were taken away. */
export function changeRecords(before: DomainDoc, after: DomainDoc): readonly AuditRecord[] {
  const [old, now] = [things(before), things(after)];
  const key = (thing: Thing): string => JSON.stringify(thing);
  const isIn = (list: readonly Thing[], thing: Thing): boolean => list.some((each) => key(each) === key(thing));
  return [
    ...old.filter((thing) => !isIn(now, thing)).map((thing) => thingRecord(before, thing, "detach")),
    ...now.filter((thing) => !isIn(old, thing)).map((thing) => thingRecord(after, thing, "attach")),
  ];
}

/** As libaudit has it: in quotes, or in hex where it has a blank, a quote or what is not ASCII. */
export function auditValue(key: string, value: string): string {
  const bytes = Buffer.from(value);
  const isPlain = bytes.every((byte) => byte >= 0x21 && byte <= 0x7f && byte !== 0x22);
  return isPlain ? `${key}="${value}"` : `${key}=${bytes.toString("hex").toUpperCase()}`;
}

/** Something of the host's that a guest gets. */
type Thing =
  | { readonly kind: "disk" | "fs" | "net" | "chardev"; readonly what: string }
  | { readonly kind: "hostdev"; readonly key: "disk" | "chardev"; readonly what: string }
  | { readonly kind: "usb"; readonly what: string };

/** In the order in which libvirt tells of them. */
function things(doc: DomainDoc): readonly Thing[] {
  const paths = doc.filesystems.map(({ source }) => pathOf(source)).filter((path) => path !== null);
  return [
    ...doc.disks.map(({ source }) => ({ kind: "disk", what: source }) as const),
    ...paths.map((what) => ({ kind: "fs", what }) as const),
    ...doc.interfaces.map(({ mac }) => ({ kind: "net", what: mac }) as const),
    ...doc.hostdevs.flatMap(hostThing),
  ];
}

function pathOf(source: Filesystem["source"]): string | null {
  if (source.kind === "mount" || source.kind === "bind") return source.dir;
  if (source.kind === "block") return source.dev;
  return source.kind === "file" ? source.file : null;
}

/** Of a network interface libvirt says nothing. */
function hostThing(device: Hostdev): readonly Thing[] {
  if (device.kind === "storage") return [{ kind: "hostdev", key: "disk", what: device.block }];
  if (device.kind === "misc") return [{ kind: "hostdev", key: "chardev", what: device.char }];
  if (device.kind !== "usb") return [];
  const three = (value: number | null): string => String(value ?? 0).padStart(3, "0");
  return [{ kind: "usb", what: `${three(device.bus)}.${three(device.device)}` }];
}

function thingRecord(doc: DomainDoc, thing: Thing, reason: "start" | "attach" | "detach"): AuditRecord {
  const { kind, what } = thing;
  if (kind === "usb") return resource(doc, `resrc=dev reason=${reason}`, `bus=usb ${auditValue("device", what)}`);
  if (kind === "hostdev") return resource(doc, `resrc=hostdev reason=${reason}`, auditValue(thing.key, what));
  const [old, now] = reason === "detach" ? [what, "?"] : ["?", what];
  return resource(
    doc,
    `resrc=${kind} reason=${reason}`,
    `${auditValue(`old-${kind}`, old)} ${auditValue(`new-${kind}`, now)}`,
  );
}

const who = ({ name, uuid }: DomainDoc): string => `${auditValue("vm", name)} uuid=${uuid}`;

const resource = (doc: DomainDoc, what: string, rest: string): AuditRecord => ({
  type: types.resource,
  text: `virt=lxc ${what} ${who(doc)} ${rest}`,
  isSuccess: true,
});

const control = (doc: DomainDoc, what: string, rest: string, isSuccess: boolean): AuditRecord => ({
  type: types.control,
  text: `virt=lxc ${what} ${who(doc)} ${rest}`,
  isSuccess,
});

const labelRecord = (doc: DomainDoc, { label, imageLabel, model }: DomainDoc["seclabels"][number]): AuditRecord => ({
  type: types.machineId,
  text: `virt=lxc ${who(doc)} vm-ctx=${label ?? "?"} img-ctx=${imageLabel ?? "?"} model=${model ?? "?"}`,
  isSuccess: true,
});
