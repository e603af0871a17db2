import type { HostFiles } from "./files.js";

/** A version as libvirt counts: 6.18.44 is 6018044. What is missing is 0; null: no version at all. */
export function versionNumber(text: string): bigint | null {
  const [, major, minor = "0", micro = "0"] = /^(\d{1,6})(?:\.(\d{1,6})(?:\.(\d{1,6}))?)?/.exec(text) ?? [];
  return major === undefined ? null : BigInt(major) * 1_000_000n + BigInt(minor) * 1000n + BigInt(micro);
}

/** CONNECT_GET_VERSION: of containers it is the kernel's. */
export const kernelVersion = (files: HostFiles): bigint =>
  versionNumber(files.read("/proc/sys/kernel/osrelease") ?? "") ?? 0n;
