import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { errorLines, IsletError } from "../base/errors.js";
import { isErrno } from "../base/io-error.js";
import { listenUnix } from "../host/socket.js";
import type { HostFacts } from "../spec/host.js";
import type { LibvirtDoor } from "./libvirt-door.js";
import { identity } from "./user-door.js";

/** Where libvirt's clients find the daemon, and which containers they find there. */

/** What the host's administrator says of that: /etc/islet/libvirt.conf, lines of `key = value`. */
export interface LibvirtSettings {
  /** A directory where libvirt's clients look by themselves (/run/libvirt): the daemon listens there, too. null: only in its own. */
  readonly sockets: string | null;
  /** The store whose containers are the domains; null: LXC's own. */
  readonly store: string | null;
  /** The directory of libvirt's hooks; null: there are none. */
  readonly hooks: string | null;
  /** The directory of the logs of domains; null: there are none. */
  readonly logs: string | null;
  /** libvirt's own settings for containers; null: there are none. */
  readonly lxcConf: string | null;
}

const settingsFile = "/etc/islet/libvirt.conf";
const keys = ["sockets", "store", "hooks", "logs"] as const;
const lxcConfFile = "/etc/libvirt/lxc.conf";
const hooksDirectory = "/etc/libvirt/hooks";
const logsDirectory = "/var/log/libvirt/lxc";

/**
 * In the daemon's environment ISLET_LIBVIRT_SOCKETS, ISLET_LIBVIRT_STORE, ISLET_LIBVIRT_HOOKS, ISLET_LIBVIRT_LOGS and ISLET_LIBVIRT_LXC_CONF come first. A
 * daemon with a runtime directory of its own reads no file of the host's, runs none of its hooks and keeps no logs there. @throws IsletError
 */
export function libvirtSettings(
  runtimeDir: string,
  environment: Readonly<Record<string, string | undefined>>,
): LibvirtSettings {
  const isHosts = runtimeDir === "/run/islet";
  const written = isHosts ? readSettings() : {};
  return {
    sockets: environment["ISLET_LIBVIRT_SOCKETS"] ?? written.sockets ?? null,
    store: environment["ISLET_LIBVIRT_STORE"] ?? written.store ?? null,
    hooks: environment["ISLET_LIBVIRT_HOOKS"] ?? written.hooks ?? (isHosts ? hooksDirectory : null),
    logs: environment["ISLET_LIBVIRT_LOGS"] ?? written.logs ?? (isHosts ? logsDirectory : null),
    lxcConf: environment["ISLET_LIBVIRT_LXC_CONF"] ?? (isHosts ? lxcConfFile : null),
  };
}

function readSettings(): Partial<Record<(typeof keys)[number], string>> {
  let text: string;
  try {
    text = readFileSync(settingsFile, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return {};
    throw new IsletError("ISLET_IO", `cannot read ${settingsFile}`, { cause: error });
  }
  return parseLibvirtSettings(text, settingsFile);
}

/** @throws IsletError ISLET_BAD_CONFIG */
export function parseLibvirtSettings(text: string, file: string): Partial<Record<(typeof keys)[number], string>> {
  const out: Partial<Record<(typeof keys)[number], string>> = {};
  for (const [index, line] of text.split("\n").entries()) {
    if (/^\s*(#.*)?$/.test(line)) continue;
    const [, name = "", value = ""] = /^\s*([a-z_]+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    const key = keys.find((known) => known === name);
    const refuse = (what: string): IsletError => new IsletError("ISLET_BAD_CONFIG", `${file}:${index + 1}: ${what}`);
    if (key === undefined)
      throw refuse(`"${line.trim()}" is no setting: there are ${keys.slice(0, -1).join(", ")} and ${keys.at(-1)}`);
    if (!value.startsWith("/")) throw refuse(`${key} = ${value} is no absolute path`);
    out[key] = value;
  }
  return out;
}

const backlog = 1024;
/** Both for root alone; what connects to the second one only looks. */
const names = [
  ["libvirt-sock", false],
  ["libvirt-sock-ro", true],
] as const;

/** All paths at which libvirt's clients may find the daemon. */
export function libvirtPaths(directories: readonly string[]): readonly string[] {
  return directories.flatMap((directory) => names.map(([name]) => join(directory, name)));
}

/**
 * Gives back what ends it. `given`: the sockets of a service manager, by their paths, which stay open. A socket that somebody else serves, libvirtd
 * perhaps, is left alone, with a word.
 */
export function listenForLibvirt(
  arch: HostFacts["arch"],
  door: LibvirtDoor,
  directories: readonly string[],
  given: ReadonlyMap<string, number>,
): () => void {
  const closers: (() => void)[] = [];
  for (const directory of directories) {
    for (const [name, readOnly] of names) {
      const path = join(directory, name);
      const listener = given.get(path);
      if (listener !== undefined) {
        closers.push(door.listen(listener, readOnly));
        continue;
      }
      try {
        mkdirSync(directory, { recursive: true, mode: 0o755 });
        const stop = door.listen(listenUnix(arch, path, backlog, 0o600), readOnly);
        const own = identity(path);
        closers.push(() => {
          stop();
          if (identity(path) === own) rmSync(path, { force: true });
        });
      } catch (error) {
        for (const line of errorLines(error)) console.error(line);
      }
    }
  }
  return () => {
    for (const close of closers) close();
  };
}
