/** The XML of a single device, as clients attach, detach and update it. */
import { errorDomains } from "../errors.js";
import type { Console, Disk, Filesystem, Hostdev, Interface, OpaqueElement } from "./domain.js";
import type { ReadContext } from "./read-context.js";
import { readFilesystem } from "./read-filesystem.js";
import { readInterface } from "./read-interface.js";
import { readConsole, readDisk, readHostdev, readOther } from "./read-others.js";
import { parseXml } from "./tree.js";
import { unsupported } from "./values.js";

export type Device =
  | { readonly kind: "interface"; readonly device: Interface }
  | { readonly kind: "filesystem"; readonly device: Filesystem }
  | { readonly kind: "hostdev"; readonly device: Hostdev }
  | { readonly kind: "disk"; readonly device: Disk }
  | { readonly kind: "console"; readonly device: Console }
  /** One that a container has no use for. */
  | { readonly kind: "other"; readonly device: OpaqueElement };

/** `port`: of a console. Throws LibvirtError. */
export function readDevice(text: string, context: ReadContext, port = 0): Device {
  const root = parseXml(text, { what: "(device_definition)", domain: errorDomains.domain });
  switch (root.name) {
    case "interface":
      return { kind: root.name, device: readInterface(root, context) };
    case "filesystem":
      return { kind: root.name, device: readFilesystem(root) };
    case "hostdev":
      return { kind: root.name, device: readHostdev(root) };
    case "disk":
      return { kind: root.name, device: readDisk(root) };
    case "console":
      return { kind: root.name, device: readConsole(root, port) };
    default: {
      const device = readOther(root);
      if (device === null) throw unsupported(`unknown device type '${root.name}'`);
      return { kind: "other", device };
    }
  }
}
