import { type Block, cwdFd, slot } from "../program/assembler.js";
import { close, type FsTextOption, openat, writeText } from "../program/calls.js";
import type { Slot } from "../program/ops.js";
import { O_RDWR } from "../sys/flags.js";
import type { Sourced } from "../base/source.js";
import type { StartContext } from "./context.js";

interface Label {
  readonly file: string;
  readonly text: string;
  readonly what: string;
  readonly at: Sourced<string>["at"];
}

/** The label for exec: only where the host has the module; a host without it ignores the key, as LXC does. */
function labelOf(context: StartContext): Label | null {
  const { apparmor, selinux } = context.spec.security;
  if (context.host.lsm.apparmor) {
    const profile = apparmor.profile?.value ?? "lxc-container-default-cgns";
    if (profile === "unconfined" || profile === "unchanged") return null;
    const name = profile === "generated" ? "lxc-container-default-cgns" : profile;
    return {
      file: "/proc/self/attr/apparmor/exec",
      text: `exec ${name}`,
      what: `the AppArmor profile ${name}`,
      at: apparmor.profile?.at ?? null,
    };
  }
  if (context.host.lsm.selinux && selinux.context !== null) {
    return {
      file: "/proc/self/attr/exec",
      text: selinux.context.value,
      what: `the SELinux context ${selinux.context.value}`,
      at: selinux.context.at,
    };
  }
  return null;
}

/** The option that labels all of a new file system; none where SELinux does not run. */
export function mountLabel({ spec, host }: StartContext): readonly FsTextOption[] {
  const { mountContext } = spec.security.selinux;
  return mountContext === null || !host.lsm.selinux ? [] : [{ name: "context", value: mountContext }];
}

/** Opened while the host's own /proc is in view: a guest could forge the file later. */
export function takeLabelFile(context: StartContext, child: Block): Slot | null {
  const label = labelOf(context);
  if (label === null) return null;
  const file = slot(context.build, "label");
  child.at = label.at;
  openat(child, cwdFd, label.file, O_RDWR, file, { note: `open ${label.file}` });
  child.at = null;
  return file;
}

export function planLabel(context: StartContext, child: Block, file: Slot | null): void {
  const label = labelOf(context);
  if (label === null || file === null) return;
  writeText(child, file, label.text, {
    note: `set ${label.what}`,
    at: label.at,
    hints: { ENOENT: "the profile is not loaded" },
  });
  close(child, file, "close it");
}
