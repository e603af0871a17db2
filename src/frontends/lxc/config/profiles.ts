/** What a profile adds to a container's description: never to what its configuration says itself. */
import type { GuestProfile } from "../../../spec/guest.js";
import type { ContainerSpec } from "../../../spec/spec.js";
import type { Values } from "./model.js";
import { namedNics } from "./nic-naming.js";
import { lxdProfile } from "./profile-lxd.js";
import { systemdProfile } from "./profile-systemd.js";

type Profile = (spec: ContainerSpec, values: Values) => ContainerSpec;

const profiles: Readonly<Record<GuestProfile, Profile>> = {
  lxc: (spec) => spec,
  lxd: lxdProfile,
  systemd: systemdProfile,
};

export function applyProfile(spec: ContainerSpec, values: Values): ContainerSpec {
  const profile = values.guestProfile?.value ?? "lxc";
  const made = profiles[profile](spec, values);
  return { ...made, network: namedNics(made, values, profile === "systemd") };
}
