/** A domain as a container's description: complete, with what libvirt gives each of its guests. Starts nothing and changes nothing. */
import { plainGuest } from "../../../spec/guest.js";
import { asContainerName, nameProblem } from "../../../spec/name.js";
import type { ContainerSpec } from "../../../spec/spec.js";
import type { DomainDoc, SecLabel } from "../xml/domain.js";
import { capabilityRule } from "./capability.js";
import { cgroupSpec } from "./cgroup.js";
import { type SpecContext, unsupported } from "./context.js";
import { guestDevices } from "./devices.js";
import { autoMounts, mountEntries, rootfsSpec, securityMounts } from "./filesystem.js";
import { idmapSpec, namespaceSpec } from "./namespace.js";
import { hasNetwork, networkSpec } from "./network.js";
import { hostName, initSpec, lifecycleSpec, processSpec } from "./process.js";

export type { HostFile, SpecContext } from "./context.js";

/** Ptys that the guest may open beside its consoles. */
const ptys = 1024;

/** @throws LibvirtError what libvirt would refuse at a start, in its words, and what islet has not. */
export function toSpec(doc: DomainDoc, context: SpecContext): ContainerSpec {
  const name = asContainerName(doc.name);
  if (name === null) throw unsupported(nameProblem(doc.name) ?? `the name ${doc.name} cannot be a container's`);
  checkDevices(doc);
  const network = networkSpec(doc, context);
  const capabilities = capabilityRule(doc.features.capabilities);
  const devices = guestDevices(doc, capabilities, context);
  const isMapped = doc.idmap !== null;
  const host = hostName(doc.name);
  const rootfs = rootfsSpec(doc);
  return {
    name,
    storePath: context.storePath,
    configFile: context.configFile,
    hostname: host === null ? null : { value: host, at: null },
    init: initSpec(doc.os),
    process: processSpec(doc),
    rootfs,
    mounts: {
      auto: autoMounts(hasNetwork(doc)),
      entries: [...securityMounts(isMapped, context), ...mountEntries(doc, context)],
      dev: devices.dev,
    },
    console: {
      kind: "pty",
      path: null,
      logFile: null,
      logSize: 0,
      logRotate: false,
      // As much as libvirt's own helper keeps; here nobody waits for a reader.
      bufferSize: 4096,
      ttys: Math.max(doc.consoles.length, 1) - 1,
      isTty1: true,
      ttyDir: null,
      outer: true,
      ptys,
    },
    namespaces: namespaceSpec(doc, hasNetwork(doc), context),
    idmap: idmapSpec(doc),
    security: {
      capabilities,
      noNewPrivileges: false,
      seccomp: null,
      apparmor: { profile: null, allowIncomplete: false, allowNesting: false, raw: [] },
      selinux: noSelinux,
      ...labels(doc.seclabels),
    },
    cgroup: cgroupSpec(doc, devices.rules, context),
    network,
    hooks: { version: 0, list: [] },
    lifecycle: lifecycleSpec(doc),
    guest: {
      ...plainGuest,
      profile: "libvirt",
      lockedRoot: isMapped,
      uuid: doc.uuid,
      selinuxfs: !isMapped,
      devices: devices.mapped,
    },
    annotations: {},
  };
}

/** More than the interpreter's programs have room for. */
const mostDevices = 1000;

/** A guest without a console gets one: libvirt refuses it, and nobody could see why it does not start. */
function checkDevices({ consoles, filesystems, interfaces, disks, hostdevs }: DomainDoc): void {
  const count = [consoles, filesystems, interfaces, disks, hostdevs].reduce((sum, list) => sum + list.length, 0);
  if (count > mostDevices) throw unsupported(`${count} devices are more than the ${mostDevices} that a guest can have`);
  if (consoles.some(({ type }) => type !== "pty")) throw unsupported("Only PTY console types are supported");
}

function labels(given: readonly SecLabel[]): Partial<ContainerSpec["security"]> {
  return Object.assign({}, ...given.map(label)) as Partial<ContainerSpec["security"]>;
}

const noSelinux: ContainerSpec["security"]["selinux"] = { context: null, keyringContext: null, mountContext: null };

/** A static label is the document's own, a dynamic one of SELinux is made at each start (driver/labels.ts). */
function label({ type, model, label: text, imageLabel }: SecLabel): Partial<ContainerSpec["security"]> {
  if (type === "none" || model === "none") return {};
  if (type === "dynamic" && model !== "selinux")
    throw unsupported(`dynamic labels${model === null ? "" : ` of ${model}`} are not supported: give a static one`);
  const value = { value: text ?? "", at: null };
  switch (model) {
    case "selinux":
      return { selinux: { ...noSelinux, context: text === null ? null : value, mountContext: imageLabel } };
    case "apparmor":
      return { apparmor: { profile: value, allowIncomplete: false, allowNesting: false, raw: [] } };
    default:
      throw unsupported(`Security driver model '${model ?? ""}' is not available`);
  }
}
