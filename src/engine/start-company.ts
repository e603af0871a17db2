import { IsletError } from "../base/errors.js";
import type { ContainerSpec } from "../spec/spec.js";
import type { Arch } from "../sys/arch.js";
import type { ContainerId, ContainerStatus, Startable, StartCompany, StartOptions } from "./engine.js";
import type { Registry } from "./registry.js";
import { stopContainer } from "./stop.js";

/** A start with those who are asked before it; whoever is given back has to be told of it. */
export async function startInCompany(
  what: Startable,
  asked: Promise<StartCompany | null> | null,
  wanted: StartOptions,
  make: (spec: ContainerSpec, wanted: StartOptions) => Promise<ContainerStatus>,
): Promise<{ readonly status: ContainerStatus; readonly company: StartCompany | null }> {
  const company = asked === null ? null : await asked;
  await company?.before();
  try {
    const spec = "make" in what ? await what.make() : what;
    company?.making(spec, wanted);
    return { status: await make(spec, wanted), company };
  } catch (error) {
    await company?.failed(error);
    throw error;
  }
}

/** What has been started and must not run. It waits for nothing that the next start may have. */
export async function endNow(arch: Arch, registry: Registry, id: ContainerId): Promise<void> {
  try {
    await stopContainer(arch, registry, id, { kind: "kill", timeout: null, noKill: false });
  } catch (error) {
    // It has ended by itself.
    if (!(error instanceof IsletError && error.code === "ISLET_NOT_RUNNING")) throw error;
  }
}
