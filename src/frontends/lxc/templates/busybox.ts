import { appendFile, readFile, stat } from "node:fs/promises";
import { IsletError } from "../../../base/errors.js";
import { toHostId } from "../../../spec/idmap.js";
import type { OptionRow } from "../commands/getopt.js";
import { option } from "../commands/options.js";
import { findProgram } from "../commands/template.js";
import { callOptions } from "./caller-options.js";
import { type BuiltinTemplate, fillOptions } from "./builtin.js";

/** The options of Debian's lxc-busybox script. */
const options: readonly OptionRow[] = [option("busybox-path", "", { argument: "PATH" })];

/** `busybox`: the program that is the default. */
export function busyboxUsage(busybox: string): string {
  return `LXC busybox image builder

Special arguments:

  [ -h | --help ]: Print this help message and exit.

LXC internal arguments:

  [ --name <name> ]: The container name
  [ --path <path> ]: The path to the container
  [ --rootfs <rootfs> ]: The path to the container's rootfs (default: config or <path>/rootfs)
  [ --mapped-uid <map> ]: A uid map (user namespaces)
  [ --mapped-gid <map> ]: A gid map (user namespaces)

BUSYBOX template specific arguments:

  [ --busybox-path <path> ]: busybox pathname (default: ${busybox})

`;
}

const libraryDirectories = ["lib", "usr/lib", "lib64", "usr/lib64"] as const;

/** What the template adds to the config. `libraries`: those of the host's library directories that exist. */
export function busyboxConfig(config: string, rootfs: string, name: string, libraries: readonly string[]): string {
  return [
    ...(/^lxc\.rootfs\.path/m.test(config) ? [] : [`lxc.rootfs.path = ${rootfs}`]),
    "lxc.signal.halt = SIGUSR1",
    "lxc.signal.reboot = SIGTERM",
    `lxc.uts.name = "${name}"`,
    "lxc.autodev = 1",
    "lxc.tty.max = 5",
    "lxc.pty.max = 1",
    "lxc.cap.drop = sys_module mac_admin mac_override sys_time",
    "",
    "# When using LXC with apparmor, uncomment the next line to run unconfined:",
    "#lxc.apparmor.profile = unconfined",
    "",
    "lxc.mount.auto = cgroup:mixed proc:mixed sys:ro",
    "lxc.mount.entry = shm dev/shm tmpfs defaults,create=dir 0 0",
    "lxc.mount.entry = mqueue dev/mqueue mqueue defaults,optional,create=dir 0 0",
    ...libraries.map((directory) => `lxc.mount.entry = /${directory} ${directory} none ro,bind 0 0`),
    "lxc.mount.entry = /sys/kernel/security sys/kernel/security none ro,bind,optional 0 0",
    "",
  ].join("\n");
}

const isDirectory = async (path: string): Promise<boolean> =>
  await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );

/** Does what the lxc-busybox script does with these arguments. */
export const busyboxTemplate: BuiltinTemplate = async ({ argv, host, engine, idmap, root }) => {
  const searchPath = `${host.caller.environment["PATH"] ?? ""}:/usr/sbin:/usr/bin:/sbin:/bin`;
  const asked = callOptions(
    "busybox",
    options,
    busyboxUsage(findProgram("busybox", searchPath) ?? ""),
    { argv, host },
    1,
  );
  if (asked === null) return;
  const name = asked.value("name") ?? "";
  const path = asked.value("path") ?? "";
  if (name === "" || path === "")
    throw new IsletError("ISLET_BAD_REQUEST", "Please pass the name and path for the container");
  const documented = asked.value("rootfs") ?? `${path}/rootfs`;
  const rootfs = root ?? documented;
  const program = asked.value("busybox-path");
  const uid = toHostId(idmap, "uid", 0);
  const gid = toHostId(idmap, "gid", 0);
  const owner = uid === null || gid === null ? null : { uid, gid };
  await engine.fillRootfs({ kind: "busybox", rootfs, program, searchPath, owner }, fillOptions(host));

  const config = `${path}/config`;
  const present = await Promise.all(
    libraryDirectories.map(async (directory) =>
      (await isDirectory(`/${directory}`)) && (await isDirectory(`${rootfs}/${directory}`)) ? [directory] : [],
    ),
  );
  await appendFile(config, busyboxConfig(await readFile(config, "utf8"), documented, name, present.flat()));
};
