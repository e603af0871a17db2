import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { shiftOwners } from "../support/debian.js";
import { installInit } from "../support/guest-init.js";
import { busybox, type Store } from "../support/store.js";
import type { Guest, Guests } from "./guest.js";

/** Guests of the profile lxd in the three kinds that there are. */

export const lxdKinds = ["privileged", "id-mapped", "shifted"] as const;
export type LxdKind = (typeof lxdKinds)[number];

const map = "lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n";

/** The lines that make a container one of that kind. */
export const kindConfig: Readonly<Record<LxdKind, string>> = {
  privileged: "",
  "id-mapped": `${map}lxc.rootfs.options = idmap=container\n`,
  shifted: map,
};

export interface LxdOptions {
  /** Further lines of the configuration. */
  readonly config?: string;
  /** The word in /mode for the test's init; null: busybox is the init. */
  readonly mode?: string | null;
  /** Changes the image before it gets its owners. */
  readonly image?: (rootfs: string) => void;
}

/** Makes a container in a store; nothing but the profile and the kind stands in its configuration. Gives back its root file system's directory. */
export function lxdContainer(store: Store, kind: LxdKind, name: string, options: LxdOptions = {}): string {
  const rootfs = busybox(store, name);
  const mode = options.mode === undefined ? "handler" : options.mode;
  if (mode !== null) {
    installInit(rootfs);
    writeFileSync(join(rootfs, "mode"), `${mode}\n`);
  }
  for (const empty of ["dev", "proc", "sys"]) rmSync(join(rootfs, empty), { recursive: true });
  options.image?.(rootfs);
  if (kind === "shifted") shiftOwners(rootfs, 100_000);
  writeFileSync(
    join(store.path, name, "config"),
    `lxc.rootfs.path = dir:${rootfs}\nislet.guest = lxd\n${kindConfig[kind]}${options.config ?? ""}`,
  );
  return rootfs;
}

export function lxdGuest(from: Guests, kind: LxdKind, name: string, options: LxdOptions = {}): Guest {
  const guest = from.define(name);
  rmSync(guest.rootfs, { recursive: true });
  lxdContainer(from.store, kind, name, options);
  return guest;
}
