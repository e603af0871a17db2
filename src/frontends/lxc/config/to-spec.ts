/** A parsed configuration as a ContainerSpec, with LXC's defaults filled in. Starts nothing and changes nothing. */
import type { AbsPath, ContainerName } from "../../../base/brand.js";
import type { Fault } from "../../../base/source.js";
import { asContainerName, nameProblem } from "../../../spec/name.js";
import type { ContainerSpec } from "../../../spec/spec.js";
import { type Collector, fault, type SpecContext } from "./collector.js";
import type { Notice, ParsedConfig } from "./model.js";
import { applyProfile } from "./profiles.js";
import { cgroupSpec } from "./spec-cgroup.js";
import { guestSpec, noteLeftOut } from "./spec-guest.js";
import { mountSpec, rootfsSpec } from "./spec-mounts.js";
import { networkSpec } from "./spec-network.js";
import { consoleSpec, hookSpec, initSpec, lifecycleSpec, processSpec } from "./spec-process.js";
import { idmapSpec, namespaceSpec, securitySpec } from "./spec-security.js";

export type { SpecContext };

/** `notices`: old keys and things left out; to be shown, never to stop anything. */
export type SpecResult =
  | { readonly kind: "spec"; readonly spec: ContainerSpec; readonly notices: readonly Notice[] }
  | { readonly kind: "faults"; readonly faults: readonly Fault[]; readonly notices: readonly Notice[] };

/**
 * What LXC's own reader refuses was refused by parseConfig; what would make a start fail is found here: all of it, with places. The two are apart
 * because a container whose bridge name is too long must still be listed and destroyed.
 */
export function toSpec(config: ParsedConfig, context: SpecContext): SpecResult {
  const into: Collector = { context, faults: [...config.faults], notices: [...config.notices] };
  const { values } = config;
  const problem = nameProblem(context.name);
  if (problem !== null) fault(into, problem, null);
  if (!context.storePath.startsWith("/"))
    fault(into, `the container path "${context.storePath}" is not absolute`, null);
  const rootfs = rootfsSpec(values, into);
  const namespaces = namespaceSpec(values, into);
  const spec: ContainerSpec = {
    name: asContainerName(context.name) ?? ("" as ContainerName),
    storePath: context.storePath as AbsPath,
    configFile: config.document.file,
    hostname: values.utsName,
    init: initSpec(values, into),
    process: processSpec(values, into),
    rootfs,
    mounts: mountSpec(values, rootfs, into),
    console: consoleSpec(values, into),
    namespaces,
    idmap: idmapSpec(values, into),
    security: securitySpec(values, into),
    cgroup: cgroupSpec(values, into),
    network: networkSpec(values, namespaces.net.kind, into),
    hooks: hookSpec(values),
    lifecycle: lifecycleSpec(values),
    guest: guestSpec(values, into),
    annotations: {},
  };
  if (into.faults.length > 0) return { kind: "faults", faults: into.faults, notices: into.notices };
  const complete = applyProfile(spec, values);
  noteLeftOut(spec.guest, complete.guest, into);
  return { kind: "spec", spec: complete, notices: into.notices };
}
