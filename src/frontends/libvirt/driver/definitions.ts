import {
  type BigIntStats,
  existsSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { ioError, isErrno } from "../../../base/io-error.js";
import type { ContainerId } from "../../../engine/engine.js";
import type { ContainerSpec } from "../../../spec/spec.js";
import { rootOf } from "../spec/filesystem.js";
import type { DomainDoc } from "../xml/domain.js";
import type { DriverContext } from "./context.js";
import { keptText } from "./document.js";

/**
 * Persistent definitions: STORE/NAME/domain.xml, beside a `config` that says the same in LXC's words, by which lxc-ls, lxc-start and their like know
 * the domain. A container that has only a `config` is LXC's: it is a domain, too, but its definition is LXC's to change.
 */
export interface Definitions {
  /** null: there is none, or it is LXC's. */
  read(name: string): DomainDoc | null;
  /** Makes or replaces it; throws 39 for one that is too long. `spec`: the same; null: it cannot be started as it is, for this reason. */
  write(doc: DomainDoc, spec: ContainerSpec | { readonly problem: string }): Promise<void>;
  remove(name: string): Promise<void>;
  autostart(name: string): Promise<boolean>;
  setAutostart(name: string, on: boolean): Promise<void>;
  /** Removes what a daemon that was killed in the middle of a change has left: the rest of an old definition, the beginning of a new one. */
  settle(): void;
}

const fileName = "domain.xml";
const freshName = `${fileName}.new`;

/** Whether a container is a domain that was defined here; asked before the front end is loaded. */
export const hasDomain = ({ storePath, name }: ContainerId): boolean => existsSync(join(storePath, name, fileName));

const warning = `<!--
WARNING: THIS IS AN AUTO-GENERATED FILE. CHANGES TO IT ARE LIKELY TO BE
OVERWRITTEN AND LOST. Changes to this xml configuration should be made using:
  virsh edit NAME
or another application that uses the libvirt API.
-->

`;

/** A document that was read, and what its file was then: one that somebody else has changed since is another one. */
interface Known extends Mark {
  readonly path: string;
  readonly doc: DomainDoc;
}

type Mark = Pick<BigIntStats, "dev" | "ino" | "size" | "mtimeNs" | "ctimeNs">;

const isSame = (is: Mark, was: Mark): boolean =>
  is.ctimeNs === was.ctimeNs &&
  is.mtimeNs === was.mtimeNs &&
  is.size === was.size &&
  is.ino === was.ino &&
  is.dev === was.dev;

export function createDefinitions(context: DriverContext): Definitions {
  const { engine, storePath } = context;
  const known = new Map<string, Known>();
  const idOf = (name: string): ContainerId => ({ storePath, name });
  const pathOf = (name: string): string => join(storePath, name, fileName);

  const configOf = (doc: DomainDoc, spec: ContainerSpec | { readonly problem: string }, isAuto: boolean): string => {
    const head = `# The domain ${doc.name} of libvirt, in LXC's words. It is written anew by every \`virsh define\` and \`virsh edit\`.\n`;
    const body =
      "problem" in spec
        ? `# It cannot be started: ${spec.problem.replaceAll("\n", " ")}\nlxc.rootfs.path =\nlxc.rootfs.managed = 0\n`
        : context.lxcConfig(spec);
    return withAutostart(`${head}${body}`, isAuto);
  };

  const readConfig = async (name: string): Promise<string> => (await engine.readConfig(idOf(name)))?.text ?? "";

  return {
    read(name) {
      const before = known.get(name);
      const path = before?.path ?? pathOf(name);
      const look = statSync(path, { bigint: true, throwIfNoEntry: false });
      if (look !== undefined && before !== undefined && isSame(look, before)) return before.doc;
      known.delete(name);
      if (look?.isFile() !== true) return null;
      const doc = context.xml.read(readFileSync(path, "utf8"));
      const { dev, ino, size, mtimeNs, ctimeNs } = look;
      known.set(name, { path, doc, dev, ino, size, mtimeNs, ctimeNs });
      return doc;
    },
    async write(doc, spec) {
      const text = `${warning.replace("NAME", doc.name.replaceAll("--", "- -"))}${keptText(context, doc)}`;
      const before = await engine.readConfig(idOf(doc.name));
      if (before === null) {
        await engine.create(idOf(doc.name), {
          storage: null,
          storageDefaults: {},
          config: () => configOf(doc, spec, false),
          // A transient domain becomes a persistent one.
          allowRunning: true,
          // The domain was undefined, and its root stayed where it was.
          aroundRoot: isWithin(doc, `${join(storePath, doc.name)}/rootfs`),
          populate: ({ directory }) => {
            writeFileSync(join(directory, fileName), text, { mode: 0o600, flag: "wx" });
            return Promise.resolve();
          },
        });
        return;
      }
      replaceFile(pathOf(doc.name), text);
      await engine.writeConfig(idOf(doc.name), configOf(doc, spec, isAutostart(before.text)));
    },
    async remove(name) {
      known.delete(name);
      await engine.forget(idOf(name), [fileName]);
    },
    autostart: async (name) => isAutostart(await readConfig(name)),
    async setAutostart(name, on) {
      const before = await readConfig(name);
      const after = withAutostart(before, on);
      if (after !== before) await engine.writeConfig(idOf(name), after);
    },
    settle() {
      // Nothing has ever been defined.
      if (!existsSync(storePath)) return;
      for (const entry of readdirSync(storePath, { withFileTypes: true }))
        if (entry.isDirectory()) settleDirectory(join(storePath, entry.name));
    },
  };
}

/** Whether the document's own root is that directory. */
function isWithin(doc: DomainDoc, directory: string): boolean {
  const source = rootOf(doc)?.source;
  if (source?.kind !== "mount" || !existsSync(directory) || !existsSync(source.dir)) return false;
  return realpathSync(source.dir) === realpathSync(directory);
}

/** A definition goes with its `config`, which is removed first: a document without one is of a domain that is no more. */
function settleDirectory(directory: string): void {
  const files = readdirSync(directory);
  if (files.includes(freshName)) rmSync(join(directory, freshName), { force: true });
  // A directory that is being made is the engine's.
  if (!files.includes(fileName) || files.includes("config") || files.includes("partial")) return;
  rmSync(join(directory, fileName), { force: true });
  try {
    rmdirSync(directory);
  } catch (error) {
    if (!isErrno(error, "ENOTEMPTY", "EEXIST", "ENOENT")) throw ioError(`remove ${directory}`, error);
  }
}

/** Whole or not at all, and safe from a crash. */
function replaceFile(path: string, text: string): void {
  const fresh = join(dirname(path), freshName);
  try {
    rmSync(fresh, { force: true });
    writeFileSync(fresh, text, { mode: 0o600, flag: "wx", flush: true });
    renameSync(fresh, path);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) rmSync(fresh, { force: true });
    throw ioError(`write ${path}`, error);
  }
}

const autostartLine = /^[ \t]*lxc\.start\.auto[ \t]*=[ \t]*(\S*).*\n?/gm;

/** lxc.start.auto: the last line counts. */
export const isAutostart = (config: string): boolean => [...config.matchAll(autostartLine)].at(-1)?.[1] === "1";

export function withAutostart(config: string, on: boolean): string {
  if (isAutostart(config) === on) return config;
  const rest = config.replaceAll(autostartLine, "");
  return on ? `${rest.replace(/\n?$/, "\n")}lxc.start.auto = 1\n` : rest;
}
