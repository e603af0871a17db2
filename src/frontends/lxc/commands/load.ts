/**
 * All that the commands need of configurations; the only file here that knows ../config.
 */
import { randomInt } from "node:crypto";
import type { Fault } from "../../../base/source.js";
import type { Caller, ContainerId, ContainerStatus } from "../../../engine/engine.js";
import type { IdMapEntry } from "../../../spec/idmap.js";
import { personaOf } from "../../../spec/personality.js";
import type { ContainerSpec } from "../../../spec/spec.js";
import { getItem, hostFiles, parseConfig, type ParsedConfig, readSystemConfig, toSpec } from "../config/config.js";

/** lxc.conf's values that commands use. */
export interface SystemSettings {
  readonly lxcpath: string;
  readonly defaultConfig: string;
}

export async function systemSettings(caller: Caller): Promise<SystemSettings> {
  const { lxcpath, defaultConfig } = await readSystemConfig(caller);
  return { lxcpath, defaultConfig };
}

/** A key set on the command line: `-s KEY=VAL`, `-c FILE`, `--share-net=NAME`. */
export interface Definition {
  readonly key: string;
  readonly value: string;
}

/** A configuration that has been read and found free of faults, included files and all. */
export interface LoadedConfig {
  readonly file: string;
  /** The value as `lxc-info -c` prints it ("" unset); null: there is no such key. */
  readonly item: (key: string) => string | null;
  readonly spec: (id: ContainerId, caller: Caller) => Promise<ContainerSpec>;
  /** Obsolete keys and the like: nothing that stops anything. */
  readonly notices: readonly string[];
}

export interface Faulty {
  readonly kind: "faulty";
  readonly faults: readonly Fault[];
}
export type LoadResult = { readonly kind: "loaded"; readonly config: LoadedConfig } | Faulty;

export interface ConfigSource {
  readonly file: string;
  readonly text: string;
}

/** Names under which a running container's specification keeps its configuration (ContainerSpec.annotations). */
export const configAnnotation = "lxc.config";
export const configFileAnnotation = "lxc.config.file";

function loaded(parsed: ParsedConfig, source: ConfigSource): LoadedConfig {
  return {
    file: source.file,
    notices: parsed.notices.map((notice) => notice.message),
    item: (key) => getItem(parsed, key),
    spec: async (id, caller) => {
      const spec = await toSpec(parsed, id, caller);
      return { ...spec, annotations: { ...spec.annotations, [configAnnotation]: parsed.expanded, [configFileAnnotation]: source.file } };
    },
  };
}

const nibble = (): number => randomInt(16);

/** Reads a configuration with what the command line sets on top of it. */
export async function loadConfig(source: ConfigSource, caller: Caller, definitions: readonly Definition[]): Promise<LoadResult> {
  const defines = definitions.map(({ key, value }) => `${key} = ${value}`);
  const parsed = parseConfig({ file: source.file, text: source.text, files: hostFiles, defines, nibble, cwd: caller.cwd });
  return parsed.faults.length > 0 ? { kind: "faulty", faults: parsed.faults } : { kind: "loaded", config: loaded(parsed, source) };
}

/** The configuration a running container was started with; null: it was not started from one. */
export async function runningConfig(status: ContainerStatus): Promise<LoadedConfig | null> {
  const text = status.annotations[configAnnotation];
  if (text === undefined) return null;
  const source = { file: status.annotations[configFileAnnotation] ?? "", text };
  return loaded(parseConfig({ ...source, files: noFiles }), source);
}

/** The kept text has its includes expanded. */
const noFiles = { read: () => null, list: () => null };

/** A configuration that a new container begins with. */
export interface InitialConfig {
  /** As LXC saves it: blank lines gone, hwaddr templates filled in, includes left as they are. */
  readonly text: string;
  /** lxc.rootfs.path without a driver's name, or null. */
  readonly rootfsPath: string | null;
  readonly idmap: readonly IdMapEntry[];
}

export async function initialConfig(source: ConfigSource, caller: Caller): Promise<{ readonly kind: "loaded"; readonly initial: InitialConfig } | Faulty> {
  const parsed = parseConfig({ file: source.file, text: source.text, files: hostFiles, nibble, cwd: caller.cwd });
  if (parsed.faults.length > 0) return { kind: "faulty", faults: parsed.faults };
  const rootfs = getItem(parsed, "lxc.rootfs.path") ?? "";
  return {
    kind: "loaded",
    initial: {
      text: parsed.document.lines.map((line) => `${line.text}\n`).join(""),
      rootfsPath: rootfs === "" ? null : rootfs,
      idmap: parsed.values.idmap.map(({ value, at }) => ({ type: value.type === "u" ? "uid" : "gid", inside: value.inside, outside: value.outside, count: value.count, at })),
    },
  };
}

/** A name that lxc.arch and lxc-attach -a take. */
export const isArchitecture = (name: string): boolean => personaOf(name) !== undefined;
