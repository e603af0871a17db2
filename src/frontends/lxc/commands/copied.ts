import { IsletError } from "../../../base/errors.js";
import {
  type Caller,
  type ContainerId,
  type CopiedConfig,
  type Engine,
  noSuchContainer,
} from "../../../engine/engine.js";
import type { RootfsSource } from "../../../spec/rootfs.js";
import { plainDirectory } from "../../../spec/rootfs.js";
import type { ContainerSpec } from "../../../spec/spec.js";
import { cloneConfig, type CloneInput, moved } from "../config/clone.js";
import { host } from "../config/config.js";
import { showUpper } from "../config/keys-islet.js";
import { rootfsValue } from "../config/rootfs-value.js";
import type { Call } from "./frame.js";
import { loadModern } from "./load.js";
import { type ConfigSource, readNamedFile, systemConfig } from "./system.js";

/** What the commands that copy, rename and bring back containers do with configurations. */

/** A container whose configuration is used for another one. */
export interface Original {
  readonly id: ContainerId;
  readonly spec: ContainerSpec;
  /** With the keys of today. */
  readonly text: string;
}

const refused = (file: string, faults: IsletError["faults"]): IsletError =>
  new IsletError("ISLET_BAD_CONFIG", `the configuration ${file} cannot be used`, { faults });

/** Throws ISLET_NOT_FOUND, and ISLET_BAD_CONFIG with all faults: what cannot be read is not copied. */
export async function readOriginal(engine: Engine, caller: Caller, id: ContainerId): Promise<Original> {
  const source = await engine.readConfig(id);
  if (source === null) throw noSuchContainer(id);
  return originalOf(source, caller, id);
}

/** As readOriginal, with the text of --rcfile instead of the container's own, as LXC takes it. The file is looked at by rcfileIsGood before. */
export async function chosenOriginal(call: Call): Promise<Original> {
  const { engine, caller, id } = call;
  const rcfile = call.options.value("rcfile");
  if (rcfile === null) return await readOriginal(engine, caller, id);
  if ((await engine.readConfig(id)) === null) throw noSuchContainer(id);
  const source = readNamedFile(rcfile, caller);
  if (source === null) throw new IsletError("ISLET_BAD_REQUEST", `${rcfile} cannot be read any more`);
  return originalOf(source, caller, id);
}

export function originalOf(source: ConfigSource, caller: Caller, id: ContainerId): Original {
  const modern = loadModern(source, caller);
  if (modern.kind === "faulty") throw refused(source.file, modern.faults);
  const { text, result } = modern;
  if (result.kind === "faulty") throw refused(source.file, result.faults);
  return {
    id,
    text,
    spec: result.config.spec(id, caller, { command: null, mode: "exec" }, () => undefined),
  };
}

/** lxc.bdev.* of the host's administrator. */
export function storageDefaults(caller: Caller): Readonly<Record<string, string>> {
  return Object.fromEntries([...systemConfig(caller).items].filter(([key]) => key.startsWith("lxc.bdev.")));
}

export interface NewConfig {
  readonly purpose: CloneInput["purpose"];
  /** What it calls itself; null: as the original. */
  readonly hostname: string | null;
  readonly keepMac: boolean;
  readonly idmap: readonly string[] | null;
  readonly added: readonly (readonly [string, string])[];
  readonly directories?: readonly string[];
  readonly notice: (text: string) => void;
}

const movedCommand = (command: string, from: string, to: string): string => {
  const end = command.search(/[ \t]/);
  const program = end < 0 ? command : command.slice(0, end);
  return moved(program, from, to) + command.slice(program.length);
};

const directoryOf = ({ storePath, name }: ContainerId): string => `${storePath}/${name}`;

/** The engine's `config` for a copy of `original` at `target`. */
export function configFor(
  original: Original,
  target: ContainerId,
  wanted: NewConfig,
): (root: RootfsSource | null) => CopiedConfig {
  const [from, to] = [directoryOf(original.id), directoryOf(target)];
  return (root) => {
    const isOnTmpfs = root?.kind === "overlay" && root.upper === null;
    const cloned = cloneConfig({
      text: original.text,
      from,
      to,
      root: root === null ? null : rootfsValue(root),
      upper: isOnTmpfs ? showUpper({ size: root.upperSize ?? null }) : null,
      isPlain: root !== null && plainDirectory(root) === `${to}/rootfs`,
      hostname: wanted.hostname,
      nibble: wanted.keepMac ? null : host.nibble,
      purpose: wanted.purpose,
      idmap: wanted.idmap,
      // To LXC its path is the original's own directory: it must never remove it.
      added: [...(isOnTmpfs ? ([["lxc.rootfs.managed", "0"]] as const) : []), ...wanted.added],
    });
    for (const notice of cloned.notices) wanted.notice(notice);
    const { hooks, rootfs } = original.spec;
    return {
      text: cloned.text,
      files: cloned.files,
      directories: wanted.directories ?? [],
      hooks: hooks.list.flatMap(({ kind, command }) => (kind === "clone" ? [movedCommand(command, from, to)] : [])),
      hookVersion: hooks.version,
      rootfsPath: root === null ? rootfs.documentPath : rootfsValue(root),
    };
  };
}

/** A name for a copy that nobody has thought of, as LXC makes them: X_ab12CD. */
export function randomName(name: string, random: () => number = Math.random): string {
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  let suffix = "";
  for (let index = 0; index < 6; index++) suffix += letters.charAt(Math.floor(random() * letters.length));
  return `${name}_${suffix}`;
}
