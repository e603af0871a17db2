import { IsletError } from "../../../base/errors.js";
import type { NodeChange } from "../../../engine/engine.js";
import type { Driver } from "../driver/driver.js";
import type { Domain } from "../driver/domains.js";
import { errorCodes, errorDomains, LibvirtError } from "../errors.js";
import { diskNumbers } from "../host/disks.js";
import type { HostFiles } from "../host/files.js";
import { hostdevFound } from "../host/usb.js";
import type { Handlers } from "../rpc/handlers.js";
import type { DomainRef } from "../rpc/messages.js";
import { type GuestNode, guestNode, mayUse } from "../spec/devices.js";
import { hostFile } from "../spec/host-file.js";
import { sharesNetwork } from "../spec/namespace.js";
import { nicSpec } from "../spec/network.js";
import { type Removed, withDevice, withoutDevice, withReplaced } from "../xml/change-devices.js";
import { type Device, readDevice } from "../xml/device.js";
import type { Disk, DomainDoc, Interface } from "../xml/domain.js";
import type { ReadContext } from "../xml/read-context.js";
import { affect, type AffectedDocs, checkFlags, inTurn } from "./common.js";

/** VIR_DOMAIN_DEVICE_MODIFY_FORCE. */
const force = 4;
const either = affect.live | affect.config;
const host = { stat: hostFile };

const unsupported = (message: string): LibvirtError =>
  new LibvirtError(errorCodes.configUnsupported, errorDomains.lxc, message);

/** What has been done to a guest: its document now, and how to take it back. */
interface Done {
  readonly doc: DomainDoc;
  readonly undo: () => Promise<void>;
}

/** Devices of domains, of those that run and of their definitions. */
export function deviceHandlers(driver: Driver, reading: ReadContext, files: HostFiles): Handlers {
  const { engine, storePath } = driver.context;

  const notForeign = ({ name, isForeign }: Domain): void => {
    if (!isForeign) return;
    throw new LibvirtError(
      errorCodes.operationInvalid,
      errorDomains.lxc,
      `${name} was made by lxc-create: lxc-device changes what it has while it runs, ${storePath}/${name}/config says the rest`,
    );
  };
  const change = (
    dom: DomainRef,
    flags: number,
    work: (domain: Domain, docs: AffectedDocs) => Promise<void>,
  ): Promise<void> => inTurn(driver, dom, flags, work, notForeign);

  const nodeChange = async ({ name }: Domain, node: NodeChange): Promise<void> => {
    await engine.changeNode({ storePath, name }, node);
  };
  const nodeOf = (device: Extract<Device, { readonly kind: "disk" | "hostdev" }>): GuestNode => {
    if (device.kind === "disk" && device.device.type !== "block")
      throw unsupported("Can't setup disk for non-block device");
    const node = guestNode(device, host);
    if (node !== null) return node;
    throw unsupported("Unsupported host device type net");
  };

  const addInterface = async ({ name }: Domain, doc: DomainDoc, wanted: Interface): Promise<Done> => {
    if (sharesNetwork(doc))
      throw unsupported("Config asks for inherit net namespace as well as private network interfaces");
    const bridges = await driver.networks();
    const nic = nicSpec(wanted, 0, {
      networks: (network) => {
        const bridge = bridges(network);
        return bridge === null ? null : { bridge };
      },
    });
    if (nic.type !== "veth" && nic.type !== "macvlan") throw unsupported("Network device type is not supported");
    const id = { storePath, name };
    const target = await engine.addNic(id, nic);
    return {
      doc: withDevice(doc, { kind: "interface", device: { ...wanted, target } }, "live"),
      undo: async () => {
        if (target !== null) await engine.removeNic(id, target);
      },
    };
  };

  const attachLive = async (domain: Domain, doc: DomainDoc, wanted: Device): Promise<Done> => {
    const device = wanted.kind === "hostdev" ? { ...wanted, device: hostdevFound(wanted.device, files) } : wanted;
    const after = withDevice(doc, device, "live");
    if (device.kind === "interface") return await addInterface(domain, doc, device.device);
    // withDevice has refused all others.
    if (device.kind !== "disk" && device.kind !== "hostdev") return { doc: after, undo: () => Promise.resolve() };
    const { source, destination, mode, rule } = nodeOf(device);
    const hasAccess = mayUse(doc, rule, host);
    await nodeChange(domain, { action: "add", source, destination, mode, write: rule.write, hasAccess });
    return {
      doc: after,
      undo: () => nodeChange(domain, { action: "del", source, destination, keepAccess: hasAccess }),
    };
  };

  const removeInterface = async ({ name }: Domain, { source, target }: Interface): Promise<void> => {
    if (source.kind !== "bridge" && source.kind !== "network" && source.kind !== "ethernet")
      throw unsupported("Only bridged veth devices can be detached");
    try {
      if (target !== null) await engine.removeNic({ storePath, name }, target);
    } catch (error) {
      // The guest has removed its end, and so both.
      if (!(error instanceof IsletError && error.code === "ISLET_NOT_FOUND")) throw error;
    }
  };

  /** The image stays attached until the guest ends; the guest can use it no more. */
  const removeImage = async (domain: Domain, disk: Disk): Promise<void> => {
    const destination = `/dev/${disk.target}`;
    for (const numbers of diskNumbers(disk, files)) {
      const source = `/dev/loop${numbers.split(":")[1] ?? ""}`;
      await nodeChange(domain, { action: "del", source, destination, keepAccess: false });
    }
  };

  const detachLive = async (domain: Domain, { doc, device }: Removed): Promise<DomainDoc> => {
    if (device.kind === "interface") await removeInterface(domain, device.device);
    else if (device.kind === "disk" && device.device.type === "file") await removeImage(domain, device.device);
    else {
      const { source, destination, rule } = nodeOf(device);
      await nodeChange(domain, { action: "del", source, destination, keepAccess: mayUse(doc, rule, host) });
    }
    return doc;
  };

  const attach = (dom: DomainRef, xml: string, flags: number): Promise<void> =>
    change(dom, flags, async (domain, docs) => {
      const device = readDevice(xml, reading);
      const config = docs.config === null ? null : withDevice(docs.config, device, "config");
      const done = docs.live === null ? null : await attachLive(domain, docs.live, device);
      try {
        await driver.change(domain, { live: done?.doc ?? null, config });
      } catch (error) {
        await done?.undo().catch((also: unknown) => {
          console.error(`a device of ${domain.name} stays although it could not be noted`, also);
        });
        throw error;
      }
    });

  /** Of what a client only names: an address that it leaves out must not become a new one. */
  const named = (xml: string): Device => readDevice(xml, { ...reading, newMac: () => "" });

  const detach = (dom: DomainRef, xml: string, flags: number): Promise<void> =>
    change(dom, flags, async (domain, docs) => {
      const device = named(xml);
      const config = docs.config === null ? null : withoutDevice(docs.config, device, "config").doc;
      const live = docs.live === null ? null : await detachLive(domain, withoutDevice(docs.live, device, "live"));
      await driver.change(domain, { live, config });
    });

  const update = (dom: DomainRef, xml: string, flags: number): Promise<void> =>
    change(dom, flags, async (domain, docs) => {
      const device = named(xml);
      const config = docs.config === null ? null : withReplaced(docs.config, device);
      if (docs.live !== null)
        throw new LibvirtError(errorCodes.operationUnsupported, errorDomains.lxc, "Unable to modify live devices");
      await driver.change(domain, { live: null, config });
    });

  return {
    DOMAIN_ATTACH_DEVICE: async ({ dom, xml }) => {
      await attach(dom, xml, affect.live);
    },
    DOMAIN_ATTACH_DEVICE_FLAGS: async ({ dom, xml, flags }) => {
      checkFlags(flags, either, "lxcDomainAttachDeviceFlags");
      await attach(dom, xml, flags);
    },
    DOMAIN_DETACH_DEVICE: async ({ dom, xml }) => {
      await detach(dom, xml, affect.live);
    },
    DOMAIN_DETACH_DEVICE_FLAGS: async ({ dom, xml, flags }) => {
      checkFlags(flags, either, "lxcDomainDetachDeviceFlags");
      await detach(dom, xml, flags);
    },
    DOMAIN_UPDATE_DEVICE_FLAGS: async ({ dom, xml, flags }) => {
      checkFlags(flags, either | force, "lxcDomainUpdateDeviceFlags");
      await update(dom, xml, flags);
    },
  };
}
