/** LXD's container environment ("Container runtime environment" of its documentation). */
import type { ContainerSpec } from "../../../spec/spec.js";
import type { Values } from "./model.js";
import { autoMountsOr, guestApi } from "./profile.js";

/** /proc and /sys are mounted for every guest; /sys/fs/cgroup is init's own business where there are cgroup namespaces. */
export function lxdProfile(spec: ContainerSpec, values: Values): ContainerSpec {
  const isMapped = spec.idmap.length > 0;
  return {
    ...spec,
    guest: { ...spec.guest, api: values.guestApi === null ? guestApi : spec.guest.api },
    mounts: {
      ...spec.mounts,
      auto: autoMountsOr(
        spec.mounts.auto,
        values,
        isMapped ? { proc: "rw", sys: "rw" } : { proc: "mixed", sys: "mixed" },
      ),
    },
  };
}
