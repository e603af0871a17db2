import type { Source } from "../base/source.js";

export const namespaceKinds = ["mount", "pid", "uts", "ipc", "net", "user", "cgroup", "time"] as const;
export type NamespaceKind = (typeof namespaceKinds)[number];

/** share: join that of a process, of a running container (name, or /storepath/name), or the one that a file of the host keeps. */
export type NamespaceChoice =
  | { readonly kind: "new" }
  | { readonly kind: "keep"; readonly at: Source | null }
  | {
      readonly kind: "share";
      readonly with: { readonly pid: number } | { readonly container: string } | { readonly file: string };
      readonly at: Source | null;
    };

/** What becomes of every namespace. `user` is `new` or `share` exactly if there is an idmap. */
export type NamespaceSpec = Readonly<Record<NamespaceKind, NamespaceChoice>>;
