import type { Source } from "../base/source.js";

export const hookKinds = [
  "pre-start",
  "pre-mount",
  "mount",
  "autodev",
  "start-host",
  "start",
  "stop",
  "post-stop",
  "clone",
  "destroy",
] as const;
export type HookKind = (typeof hookKinds)[number];

export interface Hook {
  readonly kind: HookKind;
  /** A shell command: program and perhaps arguments; run as `sh -c "exec COMMAND ..."`. */
  readonly command: string;
  readonly at: Source | null;
}

export interface HookSpec {
  /** 0: name, section and type as arguments; 1: in the environment. */
  readonly version: 0 | 1;
  /** In the order in which they run within their kind. */
  readonly list: readonly Hook[];
}
