import { IsletError } from "../../../base/errors.js";
import type { ImageRun, RootEditor } from "../../../spec/image.js";
import { joinCommand } from "../config/command-line.js";
import { quoted } from "../config/document.js";

/** What the template oci makes of an image's configuration: the lines that lxc-oci writes, and lxc.init.cmd for lxc-start. */

/** Where a command that a configuration cannot hold is put, as a script. */
export const commandScript = "/.islet-command";

export interface OciIds {
  readonly uid: number;
  readonly gid: number;
}

const isNumber = (text: string): boolean => /^\d{1,10}$/.test(text) && Number(text) < 0xffff_ffff;

/** Fields of the line of passwd or group whose field `at` is `value`. */
function lineOf(text: string | null, at: number, value: string): readonly string[] | null {
  return (
    (text ?? "")
      .split("\n")
      .map((line) => line.split(":"))
      .find((fields) => fields[at] === value) ?? null
  );
}

/** "user", "uid", "user:group", ...: by the image's own files. ISLET_NOT_FOUND: a name that is not in them. */
export function idsOf(user: string | null, root: Pick<RootEditor, "read">): OciIds {
  const [name = "", group = ""] = (user ?? "").split(":");
  const wrong = (what: string, file: string): IsletError =>
    new IsletError("ISLET_NOT_FOUND", `the image is to run as the ${what}, which its ${file} does not have`);
  const passwd = root.read("/etc/passwd");
  const own = name === "" ? null : lineOf(passwd, isNumber(name) ? 2 : 0, name);
  let uid = 0;
  if (isNumber(name)) uid = Number(name);
  else if (name !== "") {
    if (own === null || !isNumber(own[2] ?? "")) throw wrong(`user ${name}`, "/etc/passwd");
    uid = Number(own[2]);
  }
  if (isNumber(group)) return { uid, gid: Number(group) };
  if (group !== "") {
    const found = lineOf(root.read("/etc/group"), 0, group)?.[2] ?? "";
    if (!isNumber(found)) throw wrong(`group ${group}`, "/etc/group");
    return { uid, gid: Number(found) };
  }
  const primary = own?.[3] ?? "";
  return { uid, gid: isNumber(primary) ? Number(primary) : 0 };
}

/** A command as a configuration's value; null: it cannot be said in one line. */
export function commandText(words: readonly string[]): string | null {
  return words.some((word) => /[\r\n]/.test(word)) ? null : joinCommand(words);
}

/** The same as a script for the image's own shell. */
export const scriptText = (words: readonly string[]): string =>
  `#!/bin/sh\nexec ${words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ")}\n`;

export interface OciConfigFacts {
  readonly run: ImageRun;
  readonly ids: OciIds;
  readonly name: string;
  /** Absolute paths of the host's that exist. */
  readonly includes: readonly string[];
  readonly dhcp: boolean;
}

/** The lines for the configuration, and what could not be said in them. */
export function ociConfig(facts: OciConfigFacts): { readonly text: string; readonly skipped: readonly string[] } {
  const { run, ids, name, includes, dhcp } = facts;
  const command = commandText(run.command.length === 0 ? ["/bin/sh"] : run.command) ?? commandScript;
  const isPlain = (entry: string): boolean => !/[\r\n]/.test(entry) && /^[^=]+=/.test(entry);
  const lines = [
    `lxc.execute.cmd = '${command}'`,
    `lxc.init.cmd = '${command}'`,
    "lxc.mount.auto = proc:mixed sys:mixed cgroup:mixed",
    ...run.environment.filter(isPlain).map((entry) => `lxc.environment = ${quoted(entry)}`),
    ...includes.map((path) => `lxc.include = ${path}`),
    ...(dhcp
      ? ["lxc.hook.start-host = /usr/share/lxc/hooks/dhclient", "lxc.hook.stop = /usr/share/lxc/hooks/dhclient"]
      : []),
    `lxc.uts.name = ${name}`,
    `lxc.init.uid = ${ids.uid}`,
    `lxc.init.gid = ${ids.gid}`,
    `lxc.init.cwd = ${quoted(plainDirectory(run.directory))}`,
  ];
  return {
    text: lines.map((line) => `${line}\n`).join(""),
    skipped: run.environment.filter((entry) => !isPlain(entry)).map((entry) => entry.split("=")[0] ?? ""),
  };
}

/** Relative ones are below the root, as Docker has it. */
function plainDirectory(directory: string | null): string {
  if (directory === null || /[\r\n]/.test(directory)) return "/";
  return directory.startsWith("/") ? directory : `/${directory}`;
}

export const hostsText = (name: string): string => `127.0.0.1   localhost
127.0.1.1   ${name}
::1     localhost ip6-localhost ip6-loopback
fe00::0 ip6-localnet
ff00::0 ip6-mcastprefix
ff02::1 ip6-allnodes
ff02::2 ip6-allrouters
`;
