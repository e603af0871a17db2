import type { Source, Sourced } from "../base/source.js";

/** The main process. */
export interface InitSpec {
  /** Program (a path inside the container) and arguments; never empty. */
  readonly command: Sourced<readonly string[]>;
  /** `exec`: run it as PID 1. `supervised`: as the child of islet's own tiny init (lxc-execute). */
  readonly mode: "exec" | "supervised";
  readonly cwd: Sourced<string>;
  /** Ids inside the container's user namespace. */
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups; null: none are set, those inherited are dropped. */
  readonly groups: readonly number[] | null;
  /** Who it is by the guest's own passwd(5) and group(5), in place of these ids; absent: nobody is named. */
  readonly login?: LoginSpec;
}

/** Names, or numbers with a + in front. */
export interface LoginSpec {
  readonly user: string | null;
  /** null: the user's own. */
  readonly group: string | null;
}

/** `inherit`: taken from the environment of whoever starts the container; unset there is an error. */
export type EnvironmentEntry =
  | {
      readonly kind: "set";
      readonly name: string;
      readonly value: string;
      readonly scope: EnvironmentScope;
      readonly at: Source | null;
    }
  | { readonly kind: "inherit"; readonly name: string; readonly scope: EnvironmentScope; readonly at: Source | null };

/** all: init, attach and hooks; runtime: init and attach; hooks: hooks only; init: init only. */
export type EnvironmentScope = "all" | "runtime" | "hooks" | "init";

export interface ProcessSpec {
  /** In order; later ones win. `container=...` is the profile's business and stands here. */
  readonly environment: readonly EnvironmentEntry[];
  readonly rlimits: readonly RlimitEntry[];
  /** Written below /proc/sys of the new namespaces before init runs; names with `/` separators, e.g. net/ipv4/ip_forward. */
  readonly sysctls: readonly NamedValue[];
  /** Written to /proc/INIT/NAME from the host, e.g. oom_score_adj. */
  readonly procFiles: readonly NamedValue[];
  /** execution domain: null unchanged. */
  readonly personality: "linux" | "linux32" | null;
  readonly architecture: string | null;
  /** Core scheduling: a new cookie for the container. */
  readonly coreScheduling: boolean;
  /** A new session keyring for the container. */
  readonly newSessionKeyring: boolean;
  /** Offsets of a new time namespace, nanoseconds; null where not given. */
  readonly timeOffset: { readonly boottime: bigint | null; readonly monotonic: bigint | null };
}

export interface RlimitEntry {
  /** RLIMIT_* number. */
  readonly resource: number;
  readonly name: string;
  /** null: unlimited. */
  readonly soft: bigint | null;
  readonly hard: bigint | null;
  readonly at: Source | null;
}

export interface NamedValue {
  readonly name: string;
  readonly value: string;
  readonly at: Source | null;
}
