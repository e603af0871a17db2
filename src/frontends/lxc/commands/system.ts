import { resolve } from "node:path";
import type { Caller } from "../../../engine/engine.js";
import { once } from "../../../base/once.js";
import { hostFiles } from "../config/files.js";
import { readSystemConfig, type SystemConfig } from "../config/system.js";
import type * as load from "./load.js";

/** What most commands need of configurations: little, so that the first one after a pause need not wait for the loading of all. */

/** The rest (load.ts), loaded when it is first needed. */
export const configurations: () => Promise<typeof load> = once(() => import("./load.js"));

/** The system configuration that holds for a caller: root's, or the one in the user's home. */
export function systemConfig(caller: Caller): SystemConfig {
  const home = caller.uid === 0 ? null : (caller.environment["HOME"] ?? null);
  return readSystemConfig(hostFiles, home);
}

/** Where containers are without -P. */
export const defaultStore = (caller: Caller): string => systemConfig(caller).items.get("lxc.lxcpath") ?? "/var/lib/lxc";

export interface ConfigSource {
  readonly file: string;
  readonly text: string;
}

/** A file the user named; null: it cannot be read, is no plain file, or is absurdly large. */
export function readNamedFile(path: string, caller: Caller): ConfigSource | null {
  const file = resolve(caller.cwd, path);
  const text = hostFiles.read(file);
  return text === null ? null : { file, text };
}
