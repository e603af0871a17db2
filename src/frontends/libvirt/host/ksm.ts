import { type HostFiles, readNumber } from "./files.js";

/** A number of the kernel's memory merging (node-memory-tune), as a typed parameter. */
export type KsmParameter =
  | { readonly field: string; readonly kind: "uint"; readonly value: number }
  | { readonly field: string; readonly kind: "ullong"; readonly value: bigint };

const fields = [
  ["pages_to_scan", "uint"],
  ["sleep_millisecs", "uint"],
  ["pages_shared", "ullong"],
  ["pages_sharing", "ullong"],
  ["pages_unshared", "ullong"],
  ["pages_volatile", "ullong"],
  ["full_scans", "ullong"],
  ["merge_across_nodes", "uint"],
] as const;

/** NODE_GET_MEMORY_PARAMETERS; a kernel leaves out what it does not have. */
export function memoryParameters(
  files: HostFiles,
  nparams: number,
): { readonly params: readonly KsmParameter[]; readonly nparams: number } {
  if (nparams === 0) return { params: [], nparams: fields.length };
  const params = fields.slice(0, Math.max(0, nparams)).flatMap(([name, kind]): readonly KsmParameter[] => {
    const value = readNumber(files, `/sys/kernel/mm/ksm/${name}`);
    const field = `shm_${name}`;
    if (value === null || value < 0) return [];
    return [kind === "uint" ? { field, kind, value } : { field, kind, value: BigInt(value) }];
  });
  return { params, nparams: 0 };
}
