/** Names of architectures that lxc.arch takes, and the execution domain (personality(2)) each stands for. */
import { PER_LINUX, PER_LINUX32 } from "./flags.js";

// prettier-ignore
const BITS_32: ReadonlySet<string> = new Set([
  "arm", "armel", "armhf", "armv7l", "athlon", "i386", "i486", "i586", "i686", "linux32", "mips", "mipsel", "ppc", "powerpc", "x32", "x86",
]);
// prettier-ignore
const BITS_64: ReadonlySet<string> = new Set([
  "aarch64", "amd64", "arm64", "linux64", "loongarch64", "loong64", "mips64", "mips64el", "ppc64", "ppc64el", "ppc64le", "powerpc64",
  "riscv64", "s390x", "x86_64",
]);

export type Persona = "linux" | "linux32";

/** The persona of an architecture's name as LXC knows it, whatever the host is; undefined for an unknown name. */
export function personaOf(archName: string): Persona | undefined {
  if (BITS_32.has(archName)) return "linux32";
  return BITS_64.has(archName) ? "linux" : undefined;
}

/** The argument of personality(2). */
export function personalityNumber(persona: Persona): number {
  return persona === "linux32" ? PER_LINUX32 : PER_LINUX;
}

/** All names lxc.arch takes, for messages. */
export function archNames(): readonly string[] {
  return [...BITS_32, ...BITS_64].sort();
}
