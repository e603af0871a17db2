/**
 * What the commands ask of the engine beyond engine.ts's list today. Once it stands there, this file goes.
 */
import { IsletError } from "../../../base/errors.js";
import type { Engine } from "../../../engine/engine.js";

/** A root file system that islet makes itself. */
export interface ImageRequest {
  readonly kind: "busybox";
  /** An existing directory. */
  readonly rootfs: string;
  /** The busybox program on the host; null: found by `searchPath` (a PATH value). */
  readonly program: string | null;
  readonly searchPath: string;
  /** Host ids that everything shall belong to; null: the daemon's own. */
  readonly owner: { readonly uid: number; readonly gid: number } | null;
}

export interface ImageEngine {
  /** Fills the directory. ISLET_UNSUPPORTED when a program it needs is missing, with the package's name. */
  fillRootfs(request: ImageRequest): Promise<void>;
}

export function imageEngine(engine: Engine): ImageEngine {
  if ("fillRootfs" in engine) return engine as Engine & ImageEngine;
  throw new IsletError("ISLET_UNSUPPORTED", "the built-in busybox template is not available yet", {
    hint: "give the template's path: -t /usr/share/lxc/templates/lxc-busybox",
  });
}
