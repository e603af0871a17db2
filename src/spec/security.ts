import type { Source, Sourced } from "../base/source.js";

/** Which capabilities init and attached processes keep: numbers (capability(7)). */
export type CapabilityRule =
  | { readonly kind: "drop"; readonly capabilities: readonly number[] }
  | { readonly kind: "keep"; readonly capabilities: readonly number[] };

export interface SecuritySpec {
  readonly capabilities: CapabilityRule;
  readonly noNewPrivileges: boolean;
  readonly seccomp: {
    /** The policy's file and its text, read by the front end. */
    readonly file: string;
    readonly text: string;
    readonly allowNesting: boolean;
    readonly notifyProxy: string | null;
    readonly notifyCookie: string | null;
    readonly at: Source | null;
  } | null;
  readonly apparmor: {
    readonly profile: Sourced<string> | null;
    readonly allowIncomplete: boolean;
    readonly allowNesting: boolean;
    readonly raw: readonly string[];
  };
  readonly selinux: {
    readonly context: Sourced<string> | null;
    readonly keyringContext: string | null;
    /** Of what is in file systems of the guest's own: /dev, /dev/pts. null: the kernel's policy decides. */
    readonly mountContext: string | null;
  };
}
