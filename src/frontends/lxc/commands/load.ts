/**
 * All that the commands need of containers' configurations; with system.ts the only file here that knows ../config. Commands that can do without import
 * it as `configurations`.
 */
import { IsletError } from "../../../base/errors.js";
import type { Fault } from "../../../base/source.js";
import type { Caller, ContainerId, ContainerStatus, Engine } from "../../../engine/engine.js";
import type { IdMapEntry } from "../../../spec/idmap.js";
import type { ContainerSpec } from "../../../spec/spec.js";
import {
  documentText,
  findDefaultConfig,
  getItem,
  host,
  type Modernised,
  moderniseConfig,
  parseConfig,
  type ParsedConfig,
  runningConfig,
  toSpec,
} from "../config/config.js";
import { splitRootfsPath } from "../config/keys-mount.js";
import { configAnnotation } from "../config/load.js";
import { type ConfigSource, systemConfig } from "./system.js";

export { nearestKey } from "../config/table.js";
export { createHeader } from "../config/config.js";

/** A key set on the command line: `-s KEY=VAL`, `-c FILE`, `--share-net=NAME`. */
export interface Definition {
  readonly key: string;
  readonly value: string;
}

export interface SpecChoices {
  /** COMMAND of the command line; null: what the configuration says. */
  readonly command: readonly string[] | null;
  /** supervised: under islet's own tiny init (lxc-execute). */
  readonly mode: "exec" | "supervised";
}

/** A configuration that has been read and found free of faults, included files and all. */
export interface LoadedConfig {
  readonly file: string;
  /** The value as `lxc-info -c` prints it ("" unset); null: there is no such key. */
  readonly item: (key: string) => string | null;
  /** Throws ISLET_BAD_CONFIG with what LXC would find only while starting. `tell`: old keys and what is left out. */
  readonly spec: (
    id: ContainerId,
    caller: Caller,
    choices: SpecChoices,
    tell: (notice: string) => void,
  ) => ContainerSpec;
}

export interface Faulty {
  readonly kind: "faulty";
  readonly faults: readonly Fault[];
}
export type LoadResult = { readonly kind: "loaded"; readonly config: LoadedConfig } | Faulty;

function loaded(parsed: ParsedConfig): LoadedConfig {
  const { file } = parsed.document;
  return {
    file,
    item: (key) => getItem(parsed, key),
    spec: (id, caller, choices, tell) => {
      const cgroupPattern = systemConfig(caller).items.get("lxc.cgroup.pattern") ?? null;
      const result = toSpec(parsed, { ...id, files: host.files, stat: host.stat, ...choices, cgroupPattern });
      for (const notice of result.notices) tell(notice.message);
      if (result.kind === "faults") {
        throw new IsletError("ISLET_BAD_CONFIG", `the configuration ${file} cannot be used`, { faults: result.faults });
      }
      return {
        ...result.spec,
        annotations: { ...result.spec.annotations, [configAnnotation]: parsed.expanded },
      };
    },
  };
}

/** Reads a configuration with what the command line sets on top of it. */
function parse(
  source: ConfigSource,
  caller: Caller,
  definitions: readonly Definition[],
  fillIn: boolean,
): ParsedConfig {
  return parseConfig({
    ...source,
    files: host.files,
    cwd: caller.cwd,
    defines: definitions.map(({ key, value }) => `${key} = ${value}`),
    ...(fillIn ? { nibble: host.nibble } : {}),
  });
}

/** To look at: nothing is filled in, nothing written. */
export function loadConfig(source: ConfigSource, caller: Caller): LoadResult {
  return resultOf(parse(source, caller, [], false));
}

function resultOf(parsed: ParsedConfig): LoadResult {
  return parsed.faults.length > 0
    ? { kind: "faulty", faults: parsed.faults }
    : { kind: "loaded", config: loaded(parsed) };
}

/** To start from. Templates of MAC addresses in the container's own file are filled in there once and for all. */
export async function loadForStart(
  source: ConfigSource,
  caller: Caller,
  definitions: readonly Definition[],
  own: { readonly engine: Engine; readonly id: ContainerId } | null,
): Promise<LoadResult> {
  const parsed = parse(source, caller, definitions, true);
  if (parsed.faults.length > 0) return { kind: "faulty", faults: parsed.faults };
  if (own !== null && parsed.rewritten !== null) await own.engine.writeConfig(own.id, parsed.rewritten);
  return { kind: "loaded", config: loaded(parsed) };
}

/** The configuration a running container was started with; null: it was not started from one. */
export function configOfRunning(status: ContainerStatus): LoadedConfig | null {
  const parsed = runningConfig(status);
  return parsed === null ? null : loaded(parsed);
}

/** A configuration that a new container begins with. */
export interface InitialConfig {
  /** As LXC saves it: blank lines gone, hwaddr templates filled in, includes left as they are. */
  readonly text: string;
  /** lxc.rootfs.path without a driver's name, or null. */
  readonly rootfsPath: string | null;
  /** What is there: by the driver's name, or as the host has it. */
  readonly rootfsKind: "directory" | "device" | { readonly driver: string };
  /** Of the owners that its files have on the disk: none where they are mapped when they are mounted (lxc.rootfs.options idmap=). */
  readonly fileMap: readonly IdMapEntry[];
}

export function initialConfig(
  source: ConfigSource,
  caller: Caller,
): { readonly kind: "loaded"; readonly initial: InitialConfig } | Faulty {
  const parsed = parse(source, caller, [], true);
  if (parsed.faults.length > 0) return { kind: "faulty", faults: parsed.faults };
  const rootfs = getItem(parsed, "lxc.rootfs.path") ?? "";
  const map = parsed.values.idmap.map(({ value: { type, ...range }, at }): IdMapEntry => {
    return { type: type === "u" ? "uid" : "gid", ...range, at };
  });
  const isIdmapped = (parsed.values.rootfsOptions?.value ?? "").split(",").some((word) => word.startsWith("idmap="));
  return {
    kind: "loaded",
    initial: {
      text: documentText(parsed.document),
      rootfsPath: rootfs === "" ? null : rootfs,
      rootfsKind: rootfsKind(parsed.values.rootfsPath?.value ?? "", parsed.values.rootfsBackend?.value ?? null),
      fileMap: isIdmapped ? [] : map,
    },
  };
}

function rootfsKind(text: string, backend: string | null): InitialConfig["rootfsKind"] {
  const { type, path } = splitRootfsPath(text);
  const driver = type ?? backend ?? "dir";
  if (driver === "lvm" || host.stat(path)?.type === "b") return "device";
  return driver === "dir" || driver === "btrfs" ? "directory" : { driver };
}

/**
 * The system's default configuration. Where there is none a new container is joined with the bridge that its start makes, as LXC's packages have it; where
 * none is wanted it has no network.
 */
export async function defaultConfig(caller: Caller, engine: Pick<Engine, "wantedBridge">): Promise<ConfigSource> {
  const found = findDefaultConfig(host.files, systemConfig(caller));
  if (found !== null) return found;
  const bridge = await engine.wantedBridge();
  const text = bridge === null ? "" : `lxc.net.0.type = veth\nlxc.net.0.link = ${bridge.name}\nlxc.net.0.flags = up\n`;
  return { file: "islet's default", text };
}

/** A configuration with the keys of today. */
export const moderniseSource = (source: ConfigSource, caller: Caller): Modernised =>
  moderniseConfig({ ...source, files: host.files, cwd: caller.cwd });

/** `loadConfig` of a configuration with the keys of today, and that as a text. Reads it once where it has no others. Faulty: nobody can tell what it means today. */
export function loadModern(
  source: ConfigSource,
  caller: Caller,
): { readonly kind: "done"; readonly text: string; readonly result: LoadResult } | Faulty {
  const modern = moderniseSource(source, caller);
  if (modern.kind === "unclear") return { kind: "faulty", faults: modern.faults };
  const { text, isChanged, parsed } = modern;
  return { kind: "done", text, result: isChanged ? loadConfig({ file: source.file, text }, caller) : resultOf(parsed) };
}
