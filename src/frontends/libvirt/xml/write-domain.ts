/** Data to a domain's XML, byte for byte as libvirt prints it. */
import { formatCpuList } from "../host/cpu-list.js";
import type { Console, Disk, DomainDoc, Filesystem, Hostdev, OpaqueElement, SecLabel } from "./domain.js";
import { metadataText } from "./metadata.js";
import { attributeText as at, escaped } from "./opaque.js";
import { namespaceUri } from "./read-labels.js";
import { featureNames } from "./read-os.js";
import { driveAddress, otherDevices, usbLines } from "./read-others.js";
import { addressLines, interfaceLines } from "./write-interface.js";

export interface WriteOptions {
  /** The definition, without what only a running domain has. */
  readonly inactive: boolean;
  /** With what is secret. A container's document holds no secrets, so it changes nothing. */
  readonly secure: boolean;
}

type Lines = readonly string[];

export function writeDomain(doc: DomainDoc, { inactive }: WriteOptions): string {
  const live = inactive ? null : doc.live;
  const xmlns = doc.namespaces === null ? "" : ` xmlns:lxc='${namespaceUri}'`;
  const lines = [
    ...text("name", doc.name),
    ...text("uuid", doc.uuid),
    ...text("title", doc.title),
    ...text("description", doc.description),
    // Each element is one entry: its lines below the first are laid out by themselves, and text in it stays as it is.
    ...block(
      "metadata",
      doc.metadata.map((element) => metadataText(element, 2)),
    ),
    ...size("memory", doc.memory),
    ...size("currentMemory", doc.currentMemory),
    ...blkioLines(doc),
    ...block("memtune", [
      ...size("hard_limit", doc.memtune?.hardLimit ?? null),
      ...size("soft_limit", doc.memtune?.softLimit ?? null),
      ...size("swap_hard_limit", doc.memtune?.swapHardLimit ?? null),
    ]),
    vcpuLine(doc),
    ...block("cputune", [
      ...text("shares", doc.cputune?.shares ?? null),
      ...text("period", doc.cputune?.period ?? null),
      ...text("quota", doc.cputune?.quota ?? null),
    ]),
    ...numatuneLines(doc),
    ...block("resource", text("partition", doc.partition)),
    ...osLines(doc),
    ...idmapLines(doc),
    ...featureLines(doc),
    ...clockLines(doc),
    ...text("on_poweroff", doc.onPoweroff),
    ...text("on_reboot", doc.onReboot),
    ...text("on_crash", doc.onCrash),
    "<devices>",
    ...indented(deviceLines(doc, live !== null)),
    "</devices>",
    ...doc.seclabels.flatMap((label) => secLabelLines(label, live !== null)),
    ...namespaceLines(doc),
  ];
  const head = `<domain type='lxc'${at("id", live?.id ?? null)}${xmlns}>`;
  return `${[head, ...indented(lines), "</domain>"].join("\n")}\n`;
}

function indented(lines: Lines): Lines {
  return lines.map((line) => `  ${line}`);
}

/** `<name>text</name>`, or nothing. */
function text(name: string, value: string | bigint | number | null): Lines {
  return value === null ? [] : [`<${name}>${escaped(String(value))}</${name}>`];
}

function size(name: string, kib: bigint | null): Lines {
  return kib === null ? [] : [`<${name} unit='KiB'>${kib}</${name}>`];
}

/** An element with what is in it, or nothing where that is nothing. */
function block(name: string, inner: Lines): Lines {
  return inner.length === 0 ? [] : [`<${name}>`, ...indented(inner), `</${name}>`];
}

function blkioLines({ blkio }: DomainDoc): Lines {
  if (blkio === null) return [];
  return block("blkiotune", [
    ...text("weight", blkio.weight),
    ...blkio.devices.flatMap((device) =>
      block("device", [
        ...text("path", device.path),
        ...text("weight", device.weight),
        ...text("read_iops_sec", device.readIops),
        ...text("write_iops_sec", device.writeIops),
        ...text("read_bytes_sec", device.readBytes),
        ...text("write_bytes_sec", device.writeBytes),
      ]),
    ),
  ]);
}

function vcpuLine({ vcpu }: DomainDoc): string {
  const cpuset = vcpu.cpuset === null ? null : formatCpuList(vcpu.cpuset);
  return `<vcpu placement='${vcpu.placement}'${at("cpuset", cpuset)}${at("current", vcpu.current)}>${vcpu.count}</vcpu>`;
}

function numatuneLines({ numatune }: DomainDoc): Lines {
  if (numatune === null) return [];
  const { mode, placement, nodeset } = numatune;
  const where = placement === "static" ? at("nodeset", formatCpuList(nodeset ?? [])) : at("placement", placement);
  return block("numatune", [`<memory mode='${mode}'${where}/>`]);
}

function osLines({ os }: DomainDoc): Lines {
  return block("os", [
    `<type arch='${os.arch}'>exe</type>`,
    ...text("init", os.init),
    ...os.initArgs.flatMap((argument) => text("initarg", argument)),
    ...os.initEnv.map(({ name, value }) => `<initenv${at("name", name)}>${escaped(value)}</initenv>`),
    ...text("initdir", os.initDir),
    ...text("inituser", os.initUser),
    ...text("initgroup", os.initGroup),
    ...text("cmdline", os.cmdline),
  ]);
}

function idmapLines({ idmap }: DomainDoc): Lines {
  if (idmap === null) return [];
  const ranges = (name: string, of: typeof idmap.uids): Lines =>
    of.map(({ start, target, count }) => `<${name} start='${start}' target='${target}' count='${count}'/>`);
  return block("idmap", [...ranges("uid", idmap.uids), ...ranges("gid", idmap.gids)]);
}

function featureLines({ features }: DomainDoc): Lines {
  const lines: string[] = [];
  for (const name of featureNames) {
    if (name === "privnet" && features.privnet) lines.push("<privnet/>");
    if (name === "capabilities" && features.capabilities !== null) {
      const { policy, states } = features.capabilities;
      const inner = states.map((state) => `<${state.name} state='${state.on ? "on" : "off"}'/>`);
      const head = `<capabilities policy='${policy}'`;
      lines.push(...(inner.length === 0 ? [`${head}/>`] : [`${head}>`, ...indented(inner), "</capabilities>"]));
    }
    for (const other of features.others) if (other === name || other.startsWith(`${name} `)) lines.push(`<${other}/>`);
  }
  return block("features", lines);
}

function clockLines({ clock }: DomainDoc): Lines {
  const order = ["adjustment", "basis", "timezone"];
  const attributes = order.map((name) => at(name, clock.attributes[name] ?? null)).join("");
  const head = `<clock offset='${clock.offset}'${attributes}`;
  const timers = clock.timers.map(({ name, present }) => {
    const said = present === null ? null : present ? "yes" : "no";
    return `<timer name='${name}'${at("present", said)}/>`;
  });
  return timers.length === 0 ? [`${head}/>`] : [`${head}>`, ...indented(timers), "</clock>"];
}

function deviceLines(doc: DomainDoc, live: boolean): Lines {
  const opaque = (names: readonly string[]): Lines =>
    doc.otherDevices.filter(({ name }) => names.includes(name)).flatMap((device) => opaqueLines(device));
  const before = otherDevices.indexOf("channel");
  const after = otherDevices.indexOf("redirdev");
  return [
    ...text("emulator", doc.emulator),
    ...doc.disks.flatMap(diskLines),
    ...opaque(["controller", "lease"]),
    ...doc.filesystems.flatMap(filesystemLines),
    ...doc.interfaces.flatMap((nic) => interfaceLines(nic, live)),
    ...opaque(otherDevices.slice(2, before)),
    ...doc.consoles.flatMap((console) =>
      consoleLines(console, live ? (doc.live?.consoles[console.port] ?? null) : null, live),
    ),
    ...opaque(otherDevices.slice(before, after)),
    ...doc.hostdevs.flatMap(hostdevLines),
    ...opaque(otherDevices.slice(after)),
  ];
}

function opaqueLines({ xml }: OpaqueElement): Lines {
  return xml.split("\n");
}

export function diskLines(disk: Disk): Lines {
  const address = driveAddress(disk);
  const source = disk.source === "" ? [] : [`<source${at(disk.type === "block" ? "dev" : "file", disk.source)}/>`];
  const driver =
    disk.driver === null && disk.format === null
      ? []
      : [`<driver${at("name", disk.driver)}${at("type", disk.format)}/>`];
  return [
    `<disk type='${disk.type}' device='${disk.device}'>`,
    ...indented([
      ...driver,
      ...source,
      `<target${at("dev", disk.target)}${at("bus", disk.bus)}/>`,
      ...(disk.readonly ? ["<readonly/>"] : []),
      ...(address === null
        ? []
        : [
            `<address type='drive' controller='${address.controller}' bus='${address.bus}' target='0' unit='${address.unit}'/>`,
          ]),
    ]),
    "</disk>",
  ];
}

export function filesystemLines({ source, accessMode, target, readonly }: Filesystem): Lines {
  const type = source.kind === "other" ? source.type : source.kind;
  return [
    `<filesystem type='${type}'${at("accessmode", accessMode)}>`,
    ...indented([...sourceLines(source), `<target${at("dir", target)}/>`, ...(readonly ? ["<readonly/>"] : [])]),
    "</filesystem>",
  ];
}

function sourceLines(source: Filesystem["source"]): Lines {
  switch (source.kind) {
    case "mount":
    case "bind":
      return [`<source${at("dir", source.dir)}/>`];
    case "block":
      return [`<source${at("dev", source.dev)}/>`];
    case "file": {
      const driver = source.driver === null ? [] : [`<driver type='${source.driver}'${at("format", source.format)}/>`];
      return [...driver, `<source${at("file", source.file)}/>`];
    }
    case "ram":
      return [`<source usage='${source.usage}' units='KiB'/>`];
    case "other":
      return source.xml === "" ? [] : source.xml.split("\n");
    default:
      return source satisfies never;
  }
}

/** `pty`: the host's end, where it runs. */
export function consoleLines({ type, targetType, port }: Console, pty: string | null, live: boolean): Lines {
  const shown = type === "pty" && pty !== "" ? pty : null;
  return [
    `<console type='${type}'${at("tty", port === 0 ? shown : null)}>`,
    ...indented([
      ...(shown === null ? [] : [`<source${at("path", shown)}/>`]),
      `<target type='${targetType}' port='${port}'/>`,
      ...(live ? [`<alias name='console${port}'/>`] : []),
    ]),
    "</console>",
  ];
}

export function hostdevLines(hostdev: Hostdev): Lines {
  const wrap = (source: Lines, inner: Lines = []): Lines => [
    `<hostdev mode='capabilities' type='${hostdev.kind}'>`,
    ...indented([...block("source", source), ...inner]),
    "</hostdev>",
  ];
  switch (hostdev.kind) {
    case "storage":
      return wrap(text("block", hostdev.block));
    case "misc":
      return wrap(text("char", hostdev.char));
    case "net":
      return wrap(text("interface", hostdev.interface), addressLines(hostdev));
    case "usb":
      return usbLines(hostdev);
    case "pci":
      return hostdev.xml.split("\n");
    default:
      return hostdev satisfies never;
  }
}

function secLabelLines(label: SecLabel, live: boolean): Lines {
  const head = `<seclabel type='${label.type}'${at("model", label.model)}`;
  if (label.type === "none") return [`${head}/>`];
  const inner = [
    ...(live || label.type === "static" ? text("label", label.label) : []),
    ...(live && label.relabel === true ? text("imagelabel", label.imageLabel) : []),
    ...(label.type === "dynamic" ? text("baselabel", label.baseLabel) : []),
  ];
  const relabel = ` relabel='${label.relabel === true ? "yes" : "no"}'`;
  return inner.length === 0 ? [`${head}${relabel}/>`] : [`${head}${relabel}>`, ...indented(inner), "</seclabel>"];
}

function namespaceLines({ namespaces }: DomainDoc): Lines {
  if (namespaces === null) return [];
  const inner = (["net", "ipc", "uts"] as const).flatMap((which) => {
    const source = namespaces[which];
    return source === null || source.type === "none"
      ? []
      : [`<lxc:share${which} type='${source.type}'${at("value", source.value)}/>`];
  });
  return ["<lxc:namespace>", ...indented(inner), "</lxc:namespace>"];
}
