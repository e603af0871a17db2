/** A domain's XML to data, with libvirt's rules, defaults and errors, which come in libvirt's order: what is asked last is what no earlier fault hides. */
import { errorCodes, errorDomains, LibvirtError } from "../errors.js";
import type { DomainDoc, Hostdev, LiveParts, OpaqueElement } from "./domain.js";
import { readMetadata } from "./metadata.js";
import type { ReadContext } from "./read-context.js";
import { checkFilesystem, readLooseFilesystem } from "./read-filesystem.js";
import { readInterface } from "./read-interface.js";
import { readNamespaces, readSecLabels } from "./read-labels.js";
import * as os from "./read-os.js";
import * as other from "./read-others.js";
import * as tuning from "./read-tuning.js";
import { parseXml, type XmlElement } from "./tree.js";
import {
  all,
  attribute,
  elementsOf,
  first,
  internalError,
  textAt,
  uintAttribute,
  valueError,
  xmlError,
} from "./values.js";

export type { ReadContext };

/** What the document says of one domain. Throws LibvirtError. */
export function readDomain(text: string, context: ReadContext): DomainDoc {
  const root = parseXml(text, { what: "(domain_definition)" });
  if (root.name !== "domain") throw valueError(`expecting root element of 'domain', not '${root.name}'`);
  const name = textAt(root, "name");
  if (name === null)
    throw new LibvirtError(errorCodes.noName, errorDomains.domain, "missing name information", { bare: true });
  const uuid = readUuid(root, context);
  const machine = os.readMachine(root, context.arch);
  const title = textAt(root, "title");
  if (title?.includes("\n") === true) throw xmlError("Domain title can't contain newlines");
  const description = textAt(root, "description");
  const seclabels = readSecLabels(root, context.securityModel ?? null);
  const memory = tuning.readMemory(root, "memory");
  const current = tuning.readMemory(root, "currentMemory");
  const blkio = tuning.readBlkio(root);
  const memtune = tuning.readMemTune(root);
  const cpus = tuning.readVcpu(root);
  const cputune = tuning.readCpuTune(root);
  const { numatune, vcpu } = tuning.readNumaTune(root, cpus);
  const partition = tuning.readPartition(root);
  const features = os.readFeatures(root);
  const actions = os.readActions(root);
  const clock = os.readClock(root);
  const { init, ...boot } = os.readOs(root);
  const devices = readDevices(root, context);
  const idmap = os.readIdmap(root);
  const metadata = readMetadata(root);
  const namespaces = readNamespaces(root);
  const arch = os.supportedArch(machine, context.arch);
  if (init === null) throw xmlError("init binary must be specified");
  const sizes = tuning.clampMemory(memory, current);
  if (name.includes("/")) throw xmlError(`name ${name} cannot contain '/'`);
  tuning.checkUnsupported(root);
  devices.filesystems.forEach(checkFilesystem);
  other.checkDisks(devices.disks);
  checkHostdevs(devices.hostdevs);
  const onPoweroff = os.checkAction("poweroff", actions.onPoweroff);
  const onReboot = os.checkAction("reboot", actions.onReboot);
  tuning.checkCpuTune(cputune);
  tuning.checkBlkio(root);
  os.checkIdmap(idmap);
  if (name.includes("\n"))
    throw new LibvirtError(errorCodes.malformedXml, errorDomains.xml, "invalid char in name: \n");
  return {
    name,
    uuid,
    title,
    description,
    metadata,
    ...sizes,
    blkio,
    memtune,
    vcpu,
    cputune,
    numatune,
    partition,
    os: { arch, init, ...boot },
    idmap,
    features,
    clock,
    onPoweroff,
    onReboot,
    onCrash: actions.onCrash,
    emulator: textAt(root, "devices", "emulator") ?? context.defaultEmulator,
    ...devices,
    seclabels,
    namespaces,
    live: context.live === true ? readLive(root) : null,
  };
}

/** Lower case with dashes. Dashes and white space around are no matter. */
function readUuid(root: XmlElement, context: ReadContext): string {
  const text = textAt(root, "uuid");
  if (text === null) return context.newUuid();
  const uuid = parseUuid(text);
  if (uuid === null) throw internalError("malformed uuid element");
  return uuid;
}

/** null for a text that is none. */
export function parseUuid(text: string): string | null {
  const trimmed = text.trim();
  if (!/^(?:-?[0-9a-fA-F]{2}){16}$/.test(trimmed)) return null;
  const digits = trimmed.replaceAll("-", "").toLowerCase();
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

type Devices = Pick<DomainDoc, "filesystems" | "interfaces" | "consoles" | "disks" | "hostdevs" | "otherDevices">;

function readDevices(root: XmlElement, context: ReadContext): Devices {
  const below = (name: string): readonly XmlElement[] => all(root, "devices", name);
  const disks = other.readDisks(below("disk"));
  const filesystems = below("filesystem").map(readLooseFilesystem);
  const interfaces = below("interface").map((element) => readInterface(element, context));
  const consoles = below("console").map(other.readConsole);
  const hostdevs = below("hostdev").map(other.readHostdev);
  const others: OpaqueElement[] = [];
  for (const element of all(root, "devices").flatMap(elementsOf)) {
    if (element.uri !== "") continue;
    const kept = other.readOther(element);
    if (kept !== null) others.push(kept);
  }
  const order = (name: string): number => other.otherDevices.indexOf(name);
  const sorted = others.sort((a, b) => order(a.name) - order(b.name));
  return { filesystems, interfaces, consoles, disks, hostdevs, otherDevices: other.withControllers(sorted, disks) };
}

function checkHostdevs(hostdevs: readonly Hostdev[]): void {
  const seen = new Set<string>();
  for (const hostdev of hostdevs) {
    const key = hostdev.kind === "net" ? `net ${hostdev.interface}` : JSON.stringify(hostdev);
    if (seen.has(key)) throw xmlError("Hostdev already exists in the domain configuration");
    seen.add(key);
  }
}

/** null: the text is of a domain that does not run. */
function readLive(root: XmlElement): LiveParts | null {
  const id = uintAttribute(root, "id");
  if (id === null) return null;
  const consoles = all(root, "devices", "console").map(
    (element) => attribute(element, "tty") ?? attribute(first(element, "source"), "path") ?? "",
  );
  return { id, consoles };
}
