import { errorCodes, errorDomains, LibvirtError } from "../errors.js";
import type { Filesystem, FilesystemSource } from "./domain.js";
import { opaqueText } from "./opaque.js";
import type { XmlElement } from "./tree.js";
import { attribute, choice, filled, first, scaled, uint64, unsigned, unsupported, xmlError } from "./values.js";

const types = ["mount", "block", "file", "template", "ram", "bind", "volume"] as const;
const accessModes = ["", "passthrough", "mapped", "squash"] as const;
const drivers = ["default", "path", "handle", "loop", "nbd", "ploop", "virtiofs"] as const;
export const imageFormats: readonly string[] =
  "raw dir bochs cloop dmg iso vpc vdi fat vhd ploop cow qcow qcow2 qed vmdk".split(" ");

export function missingSource(target: string | null): LibvirtError {
  const detail =
    target === null ? "missing source information for device" : `missing source information for device ${target}`;
  return new LibvirtError(errorCodes.noSource, errorDomains.domain, detail, { bare: true });
}

export function missingTarget(source: string | null): LibvirtError {
  const detail =
    source === null ? "missing target information for device" : `missing target information for device ${source}`;
  return new LibvirtError(errorCodes.noTarget, errorDomains.domain, detail, { bare: true });
}

export function readFilesystem(element: XmlElement): Filesystem {
  const filesystem = readLooseFilesystem(element);
  checkFilesystem(filesystem);
  return filesystem;
}

/** What needs the whole: without a target, which libvirt misses only when everything else is read, that is "". */
export function checkFilesystem({ source, target }: Filesystem): void {
  if (target !== "") return;
  switch (source.kind) {
    case "mount":
    case "bind":
      throw missingTarget(source.dir);
    case "block":
      throw missingTarget(source.dev);
    case "file":
      throw missingTarget(source.file);
    case "ram":
    case "other":
      throw missingTarget(null);
    default:
      source satisfies never;
  }
}

export function readLooseFilesystem(element: XmlElement): Filesystem {
  const type = choice(element, "type", types) ?? "mount";
  const accessMode = choice(element, "accessmode", accessModes) ?? "";
  const sourceElement = first(element, "source");
  const target = filled(first(element, "target"), "dir");
  const driverElement = first(element, "driver");
  const driver = choice(driverElement, "type", drivers);
  const format = attribute(driverElement, "format");
  if (format !== null && !imageFormats.includes(format)) throw unsupported(`unknown driver format value '${format}'`);
  const from = (name: string): string => {
    const value = attribute(sourceElement, name);
    if (value === null) throw missingSource(target);
    return value;
  };
  let source: FilesystemSource;
  switch (type) {
    case "mount":
    case "bind":
      source = { kind: type, dir: from("dir") };
      break;
    case "block":
      source = { kind: type, dev: from("dev") };
      break;
    case "file": {
      const file = from("file");
      const named = driver === null || driver === "default" ? null : driver;
      source = { kind: type, file, driver: named, format: named === null ? null : format };
      break;
    }
    case "ram":
      source = { kind: type, usage: readUsage(sourceElement) };
      break;
    case "template":
    case "volume":
      if (type === "template") from("name");
      if (
        type === "volume" &&
        (attribute(sourceElement, "pool") === null || attribute(sourceElement, "volume") === null)
      )
        throw missingSource(target);
      source = { kind: "other", type, xml: sourceElement === null ? "" : opaqueText(sourceElement) };
      break;
  }
  return {
    source,
    accessMode: accessMode === "" ? "passthrough" : accessMode,
    target: target ?? "",
    readonly: first(element, "readonly") !== null,
  };
}

/** Of memory, in KiB. */
function readUsage(source: XmlElement | null): bigint {
  const usage = attribute(source, "usage");
  if (usage === null) throw xmlError("missing 'usage' attribute for RAM filesystem");
  const value = unsigned(usage);
  if (value === null) throw xmlError(`cannot parse usage '${usage}' for RAM filesystem`);
  return scaled(value, attribute(source, "units"), 1024n, uint64) / 1024n;
}
