import { accessSync, closeSync, constants, fstatSync, openSync, readFileSync, type Stats, statSync } from "node:fs";
import { resolve } from "node:path";
import { gunzipSync } from "node:zlib";
import type { Caller, Command } from "../../../engine/engine.js";
import { checkKernel, type IdMapHelper } from "./checkconfig-report.js";
import { fileProblem } from "./container-config.js";
import { jsonText, takeFormat } from "./frame.js";
import type { CommandTable } from "./getopt.js";
import { formatOption, lxcVersion } from "./options.js";
import { withTable } from "./tabled.js";

/** For the reference page: lxc-checkconfig takes no options of LXC's, its environment says what to look at. */
export const checkconfigTable: CommandTable = {
  tool: "lxc-checkconfig",
  synopsis: "",
  description: "Tells what of a kernel's configuration containers need, and what of it is missing.",
  options: [formatOption],
  operands: "any",
  named: false,
  notes: [
    "The configuration is that of the running kernel, from `/proc/config.gz`, `/boot/config-VERSION`, `/lib/modules/VERSION/build/.config` or `/lib/modules/VERSION/config`; the environment variable `CONFIG` names another file, compressed with gzip or not.",
    "`--format json` prints an object with config, the file that was read, and checks, an array of objects with section, name, option (in the kernel's configuration, or null), status (enabled, missing, required) and loaded (of a module, else null).",
    "Colours are used on a terminal only. Exit status: 0, whatever is missing; 1 when no configuration was found.",
  ],
};

/** Of a configuration, unpacked: real ones have some hundred kilobytes. */
const maxConfig = 64 * 1024 * 1024;

/** null: there is no plain file, or it cannot be reached. */
function plainFile(path: string): Stats | null {
  try {
    const stat = statSync(path);
    return stat.isFile() ? stat : null;
  } catch {
    return null;
  }
}

const isFile = (path: string): boolean => plainFile(path) !== null;

/** A file of /proc, or null. */
function procText(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}

/** The text of a configuration, unpacked where it is compressed. */
export function readKernelConfig(path: string): string {
  // A fifo in its place must stop nobody.
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile() || stat.size > maxConfig) throw new Error("not a plain file of a sane size");
    const bytes = readFileSync(fd);
    const isCompressed = bytes[0] === 0x1f && bytes[1] === 0x8b;
    return (isCompressed ? gunzipSync(bytes, { maxOutputLength: maxConfig }) : bytes).toString("utf8");
  } finally {
    closeSync(fd);
  }
}

/** As a shell finds a command in the caller's PATH. */
export function idMapHelper(name: string, searchPath: string, cwd: string): IdMapHelper {
  for (const directory of searchPath.split(":")) {
    const path = resolve(cwd, directory === "" ? "." : directory, name);
    const stat = plainFile(path);
    if (stat === null) continue;
    try {
      accessSync(path, constants.X_OK);
    } catch {
      continue;
    }
    return (stat.mode & 0o4000) !== 0 ? "setuid" : "plain";
  }
  return "absent";
}

/** Other places than CONFIG and /proc/config.gz, the best first. */
export const configPlaces = (version: string): readonly string[] => [
  `/boot/config-${version}`,
  `/lib/modules/${version}/build/.config`,
  `/lib/modules/${version}/config`,
];

const environment = (caller: Caller, name: string, unset: string): string => {
  const value = caller.environment[name] ?? "";
  return value === "" ? unset : value;
};

export const checkconfig: Command = withTable(checkconfigTable, (session) => {
  const { caller } = session;
  const program = session.argv[0] ?? "lxc-checkconfig";
  const finish = (status: number): Promise<number> => Promise.resolve(status);
  const { format } = takeFormat(session.argv.slice(1));
  if (format !== null && format !== "json" && format !== "text") {
    session.write(2, `${program}: "${format}" is no output format; text and json are\n`);
    return finish(1);
  }
  const json = format === "json";
  const say = (text: string): void => {
    if (!json) session.write(1, `${text}\n`);
  };

  say(`LXC version ${lxcVersion}`);
  const named = environment(caller, "CONFIG", "/proc/config.gz");
  const asked = resolve(caller.cwd, named);
  let path = isFile(asked) ? asked : null;
  if (path === null) {
    say(`Kernel configuration not found at ${named}; searching...`);
    const version = (procText("/proc/sys/kernel/osrelease") ?? "").trim();
    path = configPlaces(version).find(isFile) ?? null;
    if (path === null) {
      const module = environment(caller, "MODNAME", "configs");
      const directory = `/lib/modules/${version}/kernel/kernel`;
      const hasModule = ["", ".gz", ".xz", ".zst"].some((end) => isFile(`${directory}/${module}.ko${end}`));
      session.write(
        2,
        [
          `${program}: unable to retrieve kernel configuration`,
          "",
          ...(hasModule ? [`Try modprobe ${module} module, or`] : []),
          "Try recompiling with IKCONFIG_PROC, installing the kernel headers,",
          "or specifying the kernel configuration path with:",
          `  CONFIG=<path> ${program}`,
          "",
        ].join("\n"),
      );
      return finish(1);
    }
    say(`Kernel configuration found at ${path}`);
  }

  let config: string;
  try {
    config = readKernelConfig(path);
  } catch (error) {
    session.write(2, `${program}: cannot read the kernel configuration ${path}: ${fileProblem(error)}\n`);
    return finish(1);
  }
  const searchPath = caller.environment["PATH"] ?? "";
  const { text, checks } = checkKernel({
    config,
    cgroupNamespace: isFile("/proc/self/ns/cgroup"),
    mounts: procText(`/proc/${caller.pid}/mounts`) ?? procText("/proc/self/mounts") ?? "",
    hasFile: isFile,
    modules: procText("/proc/modules"),
    newuidmap: idMapHelper("newuidmap", searchPath, caller.cwd),
    newgidmap: idMapHelper("newgidmap", searchPath, caller.cwd),
    program,
    colours: session.terminals[1],
  });
  session.write(1, json ? jsonText({ config: path, checks }) : text);
  return finish(0);
});
