/** From a container's name to its configuration and its spec, through the engine's store. */
import { IsletError } from "../../../base/errors.js";
import type { Caller, ContainerId, ContainerStatus, Engine, SpecLoader } from "../../../engine/engine.js";
import type { ContainerSpec } from "../../../spec/spec.js";
import { hostFiles, hostStat, randomNibble } from "./files.js";
import type { Nibble } from "./hwaddr.js";
import type { ConfigFiles, FileKind, Notice, ParsedConfig } from "./model.js";
import { parseConfig } from "./parse.js";
import { readSystemConfig } from "./system.js";
import { toSpec } from "./to-spec.js";

/** What loading sees of the host; the real one is `host`. */
export interface HostAccess {
  readonly files: ConfigFiles;
  readonly stat: (path: string) => FileKind | null;
  readonly nibble: Nibble;
}

export const host: HostAccess = { files: hostFiles, stat: hostStat, nibble: randomNibble };

export interface LoadOptions {
  readonly caller: Caller;
  /** A file to read instead of the container's own (--rcfile, lxc-start -f); null: none. */
  readonly rcfile?: string | null;
  /** `KEY=VALUE` of lxc-start -s and its like: after the file's lines. */
  readonly defines?: readonly string[];
  readonly host?: HostAccess;
}

export interface LoadedContainer {
  readonly id: ContainerId;
  /** The container has a config file (it is defined). Without one and without rcfile the configuration is empty. */
  readonly defined: boolean;
  readonly config: ParsedConfig;
}

/**
 * Reads and parses; faults are in `config.faults`. hwaddr templates are filled in and written back to the container's own file. Throws what
 * Engine.readConfig throws, and ISLET_BAD_CONFIG for an rcfile that cannot be read.
 */
export async function loadContainer(engine: Engine, id: ContainerId, options: LoadOptions): Promise<LoadedContainer> {
  const access = options.host ?? host;
  const rcfile = options.rcfile ?? null;
  const own = await engine.readConfig(id);
  const chosen =
    rcfile === null
      ? (own ?? { file: `${id.storePath}/${id.name}/config`, text: "" })
      : readRcfile(rcfile, options.caller, access);
  const config = parseConfig({
    ...chosen,
    files: access.files,
    nibble: access.nibble,
    defines: options.defines ?? [],
    cwd: options.caller.cwd,
  });
  // A file with faults is left as it is: whoever mends it should find what they wrote.
  if (rcfile === null && config.rewritten !== null && config.faults.length === 0)
    await engine.writeConfig(id, config.rewritten);
  return { id, defined: own !== null, config };
}

function readRcfile(
  path: string,
  caller: Caller,
  access: HostAccess,
): { readonly file: string; readonly text: string } {
  const file = path.startsWith("/") ? path : `${caller.cwd.replace(/\/+$/, "")}/${path}`;
  const text = access.files.read(file);
  if (text === null)
    throw new IsletError(
      "ISLET_BAD_CONFIG",
      `the configuration file "${path}" cannot be read: it is missing or not a plain file`,
    );
  return { file, text };
}

export interface SpecOptions extends LoadOptions {
  /** The COMMAND of lxc-start or lxc-execute. */
  readonly command?: readonly string[] | null;
  readonly mode?: "exec" | "supervised";
}

export interface LoadedSpec extends LoadedContainer {
  readonly spec: ContainerSpec;
  readonly notices: readonly Notice[];
}

/** The annotation that keeps the configuration a container was started with, includes expanded: lxc-info -c asks for it. */
export const configAnnotation = "lxc.config";

/** loadContainer and toSpec. Throws ISLET_BAD_CONFIG with all faults. The spec's annotations hold the expanded configuration. */
export async function loadSpec(engine: Engine, id: ContainerId, options: SpecOptions): Promise<LoadedSpec> {
  const access = options.host ?? host;
  const loaded = await loadContainer(engine, id, options);
  const result = toSpec(loaded.config, {
    ...id,
    files: access.files,
    stat: access.stat,
    command: options.command ?? null,
    mode: options.mode ?? "exec",
    cgroupPattern: readSystemConfig(access.files).items.get("lxc.cgroup.pattern") ?? null,
  });
  if (result.kind === "faults") {
    throw new IsletError("ISLET_BAD_CONFIG", `the configuration of "${id.name}" cannot be used`, {
      faults: result.faults,
    });
  }
  const spec: ContainerSpec = { ...result.spec, annotations: { [configAnnotation]: loaded.config.expanded } };
  return { ...loaded, spec, notices: result.notices };
}

/** For commands that are not LXC's own, such as `islet plan`. */
export const lxcSpecLoader: SpecLoader = async (id, caller, engine) => {
  const { spec, defined } = await loadSpec(engine, id, { caller });
  if (!defined) throw new IsletError("ISLET_NOT_FOUND", `there is no container "${id.name}" in ${id.storePath}`);
  return spec;
};

/** The configuration a running container was started with; null when it is not running, or was started by another front end. */
export function runningConfig(status: ContainerStatus): ParsedConfig | null {
  const text = status.annotations[configAnnotation];
  if (text === undefined) return null;
  return parseConfig({
    file: `${status.storePath}/${status.name}/config`,
    text,
    files: { read: () => null, list: () => null },
  });
}
