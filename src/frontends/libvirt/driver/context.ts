import type { AbsPath } from "../../../base/brand.js";
import type { Caller, ContainerId, Engine } from "../../../engine/engine.js";
import type { ContainerSpec } from "../../../spec/spec.js";
import type { DomainLog } from "../beside/domain-log.js";
import type { Hooks } from "../beside/hooks.js";
import type { Services } from "../beside/services.js";
import type { HostFiles } from "../host/files.js";
import type { DomainDoc } from "../xml/domain.js";
import type { ReadContext } from "../xml/read-context.js";

/** What the driver is made with: the engine, and what the daemon alone can know or wire. */
export interface DriverContext {
  readonly engine: Engine;
  /** On whose behalf containers are started: the daemon's own. */
  readonly caller: Caller;
  /** The store whose containers are the domains. */
  readonly storePath: AbsPath;
  /** A directory of the daemon's that is gone with the next boot. */
  readonly runtimeDir: string;
  /** What LXC's configuration of a container says. ISLET_NOT_FOUND, ISLET_BAD_CONFIG. */
  readonly lxcSpec: (id: ContainerId) => Promise<ContainerSpec>;
  /** A configuration of LXC's that says the same. */
  readonly lxcConfig: (spec: ContainerSpec) => string;
  /** Of the host. */
  readonly arch: ReadContext["arch"];
  /** KiB. */
  readonly hostMemory: bigint;
  readonly files: HostFiles;
  readonly services: Services;
  readonly hooks: Hooks;
  readonly log: DomainLog;
  /** libvirt's lxc.conf; null: there is none. */
  readonly lxcConf: string | null;
  readonly xml: {
    /** A whole document; what it leaves out is filled in. Throws LibvirtError. */
    readonly read: (text: string) => DomainDoc;
    readonly write: (doc: DomainDoc, form: { readonly inactive: boolean; readonly secure: boolean }) => string;
  };
}
