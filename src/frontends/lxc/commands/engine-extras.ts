/**
 * What the commands ask of the engine beyond engine.ts's list today. Once these methods stand there, this file goes.
 */
import { IsletError } from "../../../base/errors.js";
import type { ClientTask, CommandSession, Engine, StartOptions } from "../../../engine/engine.js";
import type { ContainerSpec } from "../../../spec/spec.js";

/** A container whose main process has the caller's stdio and is its descendant (lxc-execute). */
export interface ExecuteEngine {
  /** The task's result is the command's exit status (128 + signal). The task ends when the container has ended. ISLET_RUNNING. */
  execute(
    spec: ContainerSpec,
    options: StartOptions & { readonly terminals: CommandSession["terminals"] },
  ): Promise<ClientTask>;
}

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

const has = (engine: object, method: string): boolean =>
  method in engine && typeof (engine as Readonly<Record<string, unknown>>)[method] === "function";

export function executeEngine(engine: Engine): ExecuteEngine {
  if (has(engine, "execute")) return engine as Engine & ExecuteEngine;
  throw new IsletError("ISLET_UNSUPPORTED", "running a command in the foreground is not available yet", {
    hint: "use -d",
  });
}

export function imageEngine(engine: Engine): ImageEngine {
  if (has(engine, "fillRootfs")) return engine as Engine & ImageEngine;
  throw new IsletError("ISLET_UNSUPPORTED", "the built-in busybox template is not available yet", {
    hint: "give the template's path: -t /usr/share/lxc/templates/lxc-busybox",
  });
}
