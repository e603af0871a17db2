/** The two architectures islet runs on, and the calling conventions (ABIs) a kernel of each also serves. */

/** An architecture of a host kernel. */
export type Arch = "x86_64" | "arm64";

/** A system call ABI. x32 shares x86_64's audit number and is told apart by bit 30 of the call number. */
export type Abi = "x86_64" | "i386" | "x32" | "arm64" | "arm";

/** `__X32_SYSCALL_BIT`: set in the number of every x32 call. */
export const X32_SYSCALL_BIT = 0x40000000;

/** AUDIT_ARCH_* of linux/audit.h: what seccomp_data.arch holds. */
export const AUDIT_ARCH: Readonly<Record<Abi, number>> = {
  x86_64: 0xc000003e,
  i386: 0x40000003,
  x32: 0xc000003e,
  arm64: 0xc00000b7,
  arm: 0x40000028,
};

/** The ABIs a kernel of that architecture serves, the native one first. */
export function abisOf(arch: Arch): readonly Abi[] {
  switch (arch) {
    case "x86_64":
      return ["x86_64", "i386", "x32"];
    case "arm64":
      return ["arm64", "arm"];
    default:
      return unknownArch(arch);
  }
}

/** The number of the architecture in a launch program's header (docs/protocol/program.md). */
export function programArch(arch: Arch): number {
  switch (arch) {
    case "x86_64":
      return 1;
    case "arm64":
      return 2;
    default:
      return unknownArch(arch);
  }
}

/**
 * The architecture for `uname -m` of the host kernel, or for Node's `process.arch`; undefined for one islet does not run on.
 * A 32-bit personality shows i686 or armv8l on a 64-bit kernel.
 */
export function archFromUname(machine: string): Arch | undefined {
  switch (machine) {
    case "x86_64":
    case "amd64":
    case "x64":
    case "i686":
      return "x86_64";
    case "aarch64":
    case "arm64":
    case "armv8l":
      return "arm64";
    default:
      return undefined;
  }
}

function unknownArch(arch: never): never {
  throw new TypeError(`unknown architecture ${String(arch)}`);
}
