/** systemd's container interface (systemd.io/CONTAINER_INTERFACE). */
import type { ContainerSpec } from "../../../spec/spec.js";
import type { Values } from "./model.js";
import { autoMountsOr } from "./profile.js";

/** /sys is read-only, which also tells udev to stay away; /proc/sys too, but for the network's part. */
export function systemdProfile(spec: ContainerSpec, values: Values): ContainerSpec {
  return {
    ...spec,
    mounts: { ...spec.mounts, auto: autoMountsOr(spec.mounts.auto, values, { proc: "mixed", sys: "mixed" }) },
  };
}
