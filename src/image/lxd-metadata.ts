import { isObject } from "../base/records.js";
import { IsletError } from "../base/errors.js";
import type { Arch } from "../sys/arch.js";

/** metadata.yaml of LXD's images (its image format page). */
export interface LxdMetadata {
  readonly architecture: string;
  /** Milliseconds since 1970. */
  readonly created: number;
  readonly distribution: string | null;
  readonly release: string | null;
  readonly variant: string | null;
}

/** LXD's names of architectures and the others it takes for them; the kernels that run them. */
const architectures: Readonly<Record<string, readonly string[]>> = {
  x86_64: ["amd64"],
  i686: ["i386", "i586", "386", "x86", "generic_32"],
  aarch64: ["arm64", "generic_64"],
  armv7l: ["armel", "armhf", "arm", "armhfp", "armv7a_hardfp", "armv7", "armv7a_vfpv3_hardfp"],
  armv6l: [],
  armv8l: [],
  ppc: ["powerpc"],
  ppc64: ["powerpc64"],
  ppc64le: ["ppc64el"],
  s390x: [],
  mips: [],
  mips64: [],
  riscv32: [],
  riscv64: [],
  loongarch64: [],
};
const runs: Readonly<Record<Arch, readonly string[]>> = {
  x86_64: ["x86_64", "i686"],
  arm64: ["aarch64", "armv8l", "armv7l", "armv6l"],
};

/** LXD's own name of it; null: it knows none of that name. */
export function lxdArchitecture(name: string): string | null {
  if (Object.hasOwn(architectures, name)) return name;
  return Object.entries(architectures).find(([, others]) => others.includes(name))?.[0] ?? null;
}

const textOr = (value: unknown): string | null =>
  typeof value === "string" && value !== "" ? value : typeof value === "number" ? String(value) : null;

/** With LXD's words for what it refuses. ISLET_BAD_REQUEST; ISLET_UNSUPPORTED: of another architecture than the host's. */
export async function readLxdMetadata(text: string, arch: Arch): Promise<LxdMetadata> {
  const { parse } = await import("yaml");
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: 100, logLevel: "silent" });
  } catch (cause) {
    const why = cause instanceof Error ? (cause.message.split("\n")[0] ?? "") : "";
    throw new IsletError("ISLET_BAD_REQUEST", `metadata.yaml cannot be read: ${why}`, { cause });
  }
  const fields = isObject(value) ? value : {};
  const given = textOr(fields["architecture"]) ?? "";
  const architecture = lxdArchitecture(given);
  if (architecture === null)
    throw new IsletError("ISLET_BAD_REQUEST", `Architecture isn't supported: ${given.slice(0, 64)}`, {
      hint: "architecture in metadata.yaml",
    });
  const date = Number(fields["creation_date"] ?? 0);
  if (!Number.isFinite(date) || date <= 0)
    throw new IsletError("ISLET_BAD_REQUEST", "Missing creation date", { hint: "creation_date in metadata.yaml" });
  if (!runs[arch].includes(architecture))
    throw new IsletError("ISLET_UNSUPPORTED", "Requested architecture isn't supported by this host", {
      hint: `the image is of ${architecture}`,
    });
  const properties = isObject(fields["properties"]) ? fields["properties"] : {};
  const property = (name: string): string | null => textOr(properties[name])?.slice(0, 128) ?? null;
  return {
    architecture,
    created: Math.min(date * 1000, Number.MAX_SAFE_INTEGER - 1),
    distribution: property("os")?.toLowerCase() ?? null,
    release: property("release"),
    variant: property("variant"),
  };
}
