import { randomUUID } from "node:crypto";
import { closeSync, existsSync, fstatSync, openSync, readFileSync, statSync } from "node:fs";
import { type Decoder, dictionary, integer, list, orNull, record, text } from "../base/decode.js";
import { IsletError } from "../base/errors.js";
import { sortedByKey } from "../base/records.js";
import {
  instanceIdKey,
  keyProblem,
  maxSettings,
  readyKey,
  renewsInstance,
  type Settings,
  valueProblem,
} from "../spec/settings.js";
import type { ContainerId } from "./engine.js";
import { ioError } from "../base/io-error.js";
import { directoryOf, writeWhole } from "./store.js";

/** CONTAINERDIR/settings.json: what a container has beside its configuration. Nobody but root reads it: there may be secrets for the guest in it. */

interface SettingsFile {
  readonly version: 1;
  /** Of which container: one that was copied or renamed by whatever means has another name, and is another instance. */
  readonly name: string;
  readonly settings: Settings;
  /** Names of the network interfaces of the last start; null: there was none. */
  readonly nics: readonly string[] | null;
  /** Which run of the guest's has said that it is ready (CLOCK_BOOTTIME of its start); null: none. */
  readonly readyRun: string | null;
}

const decode: Decoder<SettingsFile> = record<SettingsFile>({
  version: integer(1, 1) as Decoder<1>,
  name: text,
  settings: dictionary(text),
  nics: orNull(list(text)),
  readyRun: orNull(text),
});

/** JSON of what may be in it at most: every character can be written as six. */
const maxFile = 8 * maxSettings;

export const settingsFileOf = (id: ContainerId): string => `${directoryOf(id)}/settings.json`;

const empty = (id: ContainerId): SettingsFile => ({
  version: 1,
  name: id.name,
  settings: {},
  nics: null,
  readyRun: null,
});

/** A setting that changed; "" is none. */
export interface Change {
  readonly key: string;
  readonly before: string;
  readonly after: string;
}

/** The settings of one container as they are on disk, read again only when somebody has changed the file. */
export interface SettingsStore {
  /** ISLET_BAD_CONFIG when the file is broken: it names the file. */
  read(): Settings;
  /** null takes a setting away. All or nothing: ISLET_BAD_REQUEST with the first thing that is wrong. */
  change(changes: Readonly<Record<string, string | null>>): readonly Change[];
  /** A UUID that is the same until the guest is another instance. */
  instanceId(): string;
  /** What the guest has now; other names than at the last start make it another instance. */
  noteNics(names: readonly string[]): void;
  readyRun(): string | null;
  setReadyRun(run: string | null): void;
}

export function openSettings(id: ContainerId): SettingsStore {
  const path = settingsFileOf(id);
  let kept: { readonly stamp: string; readonly file: SettingsFile } | null = null;
  /** Of a container without a directory: nothing of it outlives this process. */
  let homeless: SettingsFile | null = null;

  const load = (): SettingsFile => {
    const found = statSync(path, { bigint: true, throwIfNoEntry: false });
    if (found === undefined) return homeless ?? empty(id);
    const stamp = `${found.ino} ${found.mtimeNs} ${found.ctimeNs} ${found.size}`;
    if (kept?.stamp === stamp) return kept.file;
    const file = parse(path);
    kept = { stamp, file };
    return file;
  };

  const save = (file: SettingsFile, lasting: boolean): void => {
    if (!existsSync(directoryOf(id))) {
      homeless = file;
      return;
    }
    const json = `${JSON.stringify(file, null, 2)}\n`;
    writeWhole(path, json, 0o600, lasting);
  };

  const withInstance = (file: SettingsFile, renew: boolean): SettingsFile => {
    const old = file.settings[instanceIdKey];
    if (old !== undefined && !renew && file.name === id.name) return file;
    return { ...file, name: id.name, settings: { ...file.settings, [instanceIdKey]: randomUUID() } };
  };

  return {
    read: () => load().settings,
    change(changes) {
      const file = load();
      const settings: Record<string, string> = { ...file.settings };
      const made: Change[] = [];
      for (const [key, value] of Object.entries(changes)) {
        const problem = keyProblem(key) ?? (value === null ? null : valueProblem(key, value));
        if (problem !== null) throw new IsletError("ISLET_BAD_REQUEST", problem);
        const before = settings[key] ?? "";
        if (value === null) Reflect.deleteProperty(settings, key);
        else settings[key] = value;
        if (before !== (value ?? "")) made.push({ key, before, after: value ?? "" });
      }
      checkSize(settings);
      const renew = made.some(({ key }) => renewsInstance(key)) && settings[instanceIdKey] !== undefined;
      const next = { ...file, settings: sortedByKey(settings) };
      save(renew ? withInstance(next, true) : next, true);
      return made;
    },
    instanceId() {
      const file = load();
      const next = withInstance(file, false);
      if (next !== file) save({ ...next, settings: sortedByKey(next.settings) }, true);
      return next.settings[instanceIdKey] ?? "";
    },
    noteNics(names) {
      const file = load();
      const now = [...names].sort();
      const same = file.nics !== null && file.nics.join("\0") === now.join("\0");
      if (same && file.name === id.name) return;
      const next = withInstance({ ...file, nics: now }, !same && file.nics !== null);
      save({ ...next, settings: sortedByKey(next.settings) }, false);
    },
    readyRun: () => load().readyRun,
    setReadyRun(run) {
      const file = load();
      if (file.readyRun === run) return;
      const ready = run === null ? "false" : "true";
      save({ ...file, readyRun: run, settings: sortedByKey({ ...file.settings, [readyKey]: ready }) }, false);
    },
  };
}

/**
 * The text of somebody else's file, checked, as that of a container which is another instance. `keep`: the name of the container that it is the same
 * instance as; null: of none. ISLET_BAD_CONFIG.
 */
export function foreignSettings(content: string, keep: string | null): string {
  let file: SettingsFile;
  try {
    file = decode(JSON.parse(content), "settings.json");
    for (const [key, value] of Object.entries(file.settings)) {
      const problem = keyProblem(key) ?? valueProblem(key, value);
      if (problem !== null && key !== instanceIdKey && key !== readyKey) throw new Error(problem);
    }
    checkSize(file.settings);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new IsletError("ISLET_BAD_CONFIG", `the settings of the archive cannot be used: ${why}`, { cause: error });
  }
  const { [readyKey]: _, ...settings } = file.settings;
  const same: SettingsFile = { ...file, settings, readyRun: null };
  return `${JSON.stringify(keep === null ? { ...same, name: "", nics: null } : { ...same, name: keep }, null, 2)}\n`;
}

function checkSize(settings: Settings): void {
  let size = 0;
  for (const [key, value] of Object.entries(settings)) size += Buffer.byteLength(key) + Buffer.byteLength(value);
  if (size > maxSettings)
    throw new IsletError(
      "ISLET_BAD_REQUEST",
      `all settings together would have ${size} bytes; ${maxSettings} are possible`,
    );
}

function parse(path: string): SettingsFile {
  const broken = (why: string, cause?: unknown): IsletError =>
    new IsletError("ISLET_BAD_CONFIG", `${path} is broken: ${why}`, {
      hint: "repair it, or remove it and set what was in it again",
      ...(cause === undefined ? {} : { cause }),
    });
  let content: string;
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    throw ioError(`read ${path}`, error);
  }
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile()) throw broken("it is no file");
    if (stats.size > maxFile) throw broken(`it has ${stats.size} bytes, more than any settings`);
    content = readFileSync(fd, "utf8");
  } finally {
    closeSync(fd);
  }
  try {
    return decode(JSON.parse(content), "");
  } catch (error) {
    throw broken(error instanceof Error ? error.message : String(error), error);
  }
}
