/** A typed parameter (virTypedParameter) of the kinds that statistics have. */
export type StatParameter =
  | { readonly field: string; readonly kind: "int" | "uint"; readonly value: number }
  | { readonly field: string; readonly kind: "llong" | "ullong"; readonly value: bigint }
  | { readonly field: string; readonly kind: "string"; readonly value: string };

/** What a getter of typed parameters answers, in each of its two steps. */
export interface StatParameters {
  readonly params: readonly StatParameter[];
  readonly nparams: number;
}

export const uint = (field: string, value: number): StatParameter => ({ field, kind: "uint", value });
export const int = (field: string, value: number): StatParameter => ({ field, kind: "int", value });
export const ullong = (field: string, value: bigint): StatParameter => ({ field, kind: "ullong", value });
export const llong = (field: string, value: bigint): StatParameter => ({ field, kind: "llong", value });
export const string = (field: string, value: string): StatParameter => ({ field, kind: "string", value });

/** The first step (nparams 0) asks for the number; the second gets at most as many as it has room for. */
export function twoSteps(nparams: number, params: readonly StatParameter[]): StatParameters {
  return nparams === 0 ? { params: [], nparams: params.length } : { params: params.slice(0, nparams), nparams: 0 };
}

/** KiB of bytes, rounded down as libvirt does. */
export const kibibytes = (bytes: bigint | null): bigint => (bytes ?? 0n) / 1024n;
