import { readFile, writeFile } from "node:fs/promises";
import { errorLines, IsletError } from "../../../base/errors.js";
import { unreachable } from "../../../base/never.js";
import type { Command, CommandSession, CreateOptions, Engine, NewContainer } from "../../../engine/engine.js";
import type { IdMapEntry } from "../../../spec/idmap.js";
import type { StorageRequest } from "../../../spec/storage.js";
import { readUserFile, reportFaults } from "./container-config.js";
import { checkStorage, newConfigText, storageNamed, storageRequests } from "./create-storage.js";
import { type Call, lxcCommand } from "./frame.js";
import type { CommandTable, ParsedOptions } from "./getopt.js";
import { tellHint } from "./hints.js";
import { createHeader, defaultConfig, type InitialConfig, initialConfig } from "./load.js";
import { systemConfig } from "./system.js";
import { commonOptions, option, rcfileOption } from "./options.js";
import { signalOf } from "./gone.js";
import { builtinTemplates, type TemplateHost } from "../templates/builtin.js";
import { findTemplate, type Template, templateArguments, templateNames } from "./template.js";

const lvm = "Options for LVM (-B lvm)";
const rbd = "Options for Ceph RBD (-B rbd)";
const zfs = "Options for ZFS (-B zfs)";
const block = "Options for LVM and loop (-B lvm, -B loop)";

export const createTable: CommandTable = {
  tool: "lxc-create",
  synopsis: "--name=NAME --template=TEMPLATE [OPTION...] [-- TEMPLATE-OPTIONS...]",
  description:
    "Creates a container. What stands after -- goes to the template; its own help: lxc-create -t TEMPLATE -h.",
  options: [
    option("bdev", "how the root file system is kept: dir (default), btrfs, loop, lvm, overlay, zfs, best", {
      short: "B",
      argument: "BDEV",
    }),
    option("config", "initial configuration", { short: "f", argument: "CONFIG" }),
    option("template", "template: a name, a path, or none", { short: "t", argument: "TEMPLATE" }),
    option("lvname", "logical volume (default: the container's name)", { short: "0", argument: "LVNAME", group: lvm }),
    option("vgname", "volume group (lxc)", { short: "1", argument: "VG", group: lvm }),
    option("thinpool", "thin pool (lxc)", { short: "2", argument: "TP", group: lvm }),
    option("fstype", "file system (ext4)", { short: "3", argument: "TYPE", group: block }),
    option("fssize", "its size (1G; without a unit: M)", { short: "4", argument: "SIZE[U]", group: block }),
    option("zfsroot", "parent data set (lxc)", { short: "5", argument: "PATH", group: zfs }),
    option("dir", "directory for the root file system, absolute", { short: "6", argument: "DIR" }),
    option("rbdname", "image (default: the container's name)", { short: "7", argument: "RBDNAME", group: rbd }),
    option("rbdpool", "pool (lxc)", { short: "8", argument: "POOL", group: rbd }),
    ...commonOptions,
    rcfileOption,
    option("rbduser", "user (admin)", { short: "9", argument: "RBDUSER", group: rbd }),
  ],
  operands: "any",
  named: true,
  containers: "new",
  notes: [
    "A configuration given with -f that is missing or has a fault is refused before anything is made.",
    "Templates that are built in, with the options of LXC's: busybox, debian, download, fedora, local, oci, sshd, ubuntu, ubuntu-cloud. Others are looked for in $LXC_TEMPLATE_PATH and /usr/share/lxc/templates.",
  ],
};

/** A configuration that names the root file system has it its way, unless --dir says otherwise. */
function wantedStorage(
  options: ParsedOptions,
  config: InitialConfig,
): readonly [StorageRequest, ...(readonly StorageRequest[])] {
  const { rootfsPath: path, rootfsKind: kind } = config;
  const dir = options.value("dir");
  if (dir !== null || path === null) return storageRequests(options, dir);
  if (kind === "directory") return storageRequests(options, path);
  return [storageNamed(kind, path, options.value("fstype"))];
}

/** -f, or the system's default configuration; null: it cannot be used, and the user knows why. */
async function initial(call: Call): Promise<InitialConfig | null> {
  const given = call.options.value("config");
  const source = given === null ? await defaultConfig(call.caller, call.engine) : readUserFile(call, given);
  if (source === null) return null;
  const result = initialConfig(source, call.caller);
  switch (result.kind) {
    case "loaded":
      return result.initial;
    case "faulty":
      reportFaults(call, source, result.faults, given ?? source.file);
      return null;
    default:
      return unreachable(result);
  }
}

/**
 * A template script of a container with an id map runs as root of such a user namespace (lxc-usernsexec), so that what it unpacks gets the
 * right owners. Host root is mapped to a free id as well, since config and directory are its.
 */
export function mappedCommand(map: readonly IdMapEntry[], argv: readonly string[]): readonly string[] {
  if (map.length === 0) return argv;
  const letters = { uid: "u", gid: "g" } as const;
  const free = (type: "uid" | "gid"): number =>
    Math.max(0, ...map.filter((entry) => entry.type === type).map((entry) => entry.inside + entry.count));
  const maps = [
    ...map.map((entry) => `${letters[entry.type]}:${entry.inside}:${entry.outside}:${entry.count}`),
    ...(["uid", "gid"] as const)
      .filter((type) => !map.some((entry) => entry.type === type && entry.outside === 0))
      .map((type) => `${letters[type]}:${free(type)}:0:1`),
  ];
  return [
    "lxc-usernsexec",
    ...maps.flatMap((text) => ["-m", text]),
    "--",
    ...argv,
    `--mapped-uid=${free("uid")}`,
    `--mapped-gid=${free("gid")}`,
  ];
}

/** -q: nothing a template prints is seen. */
const silenced = (argv: readonly string[]): readonly string[] => [
  "/bin/sh",
  "-c",
  'exec "$@" >/dev/null 2>&1',
  "sh",
  ...argv,
];

/** `place`: how the root file system is reached, if not by the path that the template gets. */
export async function runTemplate(
  host: TemplateHost,
  engine: Engine,
  template: Template,
  parameters: readonly string[],
  map: readonly IdMapEntry[],
  place: Pick<NewContainer, "root" | "mount"> | null = null,
): Promise<void> {
  switch (template.kind) {
    case "none":
      return;
    case "builtin": {
      const run = await builtinTemplates[template.name]?.();
      // After its help (-h among its options) there is a container all the same, with nothing in it: so it is with LXC's.
      await run?.({ argv: parameters, host, engine, idmap: map, root: place?.root ?? null });
      return;
    }
    case "script": {
      const argv = mappedCommand(map, [template.path, ...parameters]);
      const task = await engine.hostCommand(host.quiet ? silenced(argv) : argv, host.caller, {}, place?.mount);
      const status = await host.run(task);
      if (status !== 0)
        throw new IsletError("ISLET_HOOK_FAILED", `the template ${template.path} ended with status ${status}`);
      return;
    }
    default:
      return unreachable(template);
  }
}

/** Everybody may read a configuration, where LXC writes passwords of registries in full. */
function withoutSecret(word: string, index: number, all: readonly string[]): string {
  if (word.startsWith("--password=")) return "--password=***";
  return all[index - 1] === "--password" ? "***" : word;
}

/** What the template appends to the config stays behind what LXC writes in front of it. */
export async function prependHeader(config: string, template: Template, parameters: readonly string[]): Promise<void> {
  if (template.kind === "none") return;
  // The directory is still marked partial: nobody reads the file in between.
  await writeFile(
    config,
    createHeader({ template: template.path, parameters: parameters.map(withoutSecret) }) +
      (await readFile(config, "utf8")),
  );
}

async function body(call: Call): Promise<number> {
  const { options, engine, id, report } = call;
  const templateName = options.value("template");
  if (templateName === null) {
    report.error("A template must be specified");
    report.error('Use "none" if you really want a container without a rootfs');
    tellHint(call, `there are ${templateNames(call.caller).join(", ")}: lxc-create -n ${id.name} -t busybox`);
    return 1;
  }
  checkStorage(options);
  if ((await engine.readConfig(id)) !== null)
    throw new IsletError("ISLET_EXISTS", `there is a container ${id.name} already`);

  const failed = (): number => {
    report.error(`Failed to create container ${id.name}`);
    return 1;
  };
  const config = await initial(call);
  if (config === null) return failed();
  let template: Template;
  try {
    template = findTemplate(templateName, call.caller);
  } catch (error) {
    for (const text of errorLines(error)) report.error(text);
    report.error(`Template "${templateName}" not found`);
    return failed();
  }

  const [storage, ...alternatives] = wantedStorage(options, config);
  const parameters = call.operands;
  const signal = signalOf(call.session.gone);
  let templateFailed = false;
  const create: CreateOptions = {
    storage: template.kind === "none" ? null : storage,
    alternatives,
    idmap: config.fileMap,
    storageDefaults: Object.fromEntries(systemConfig(call.caller).items),
    notice: (text) => {
      report.notice(text);
    },
    config: (root) => {
      const saysItself = config.rootfsPath !== null && !options.has("dir");
      return newConfigText(config.text, saysItself ? null : root, storage);
    },
    signal,
    populate: async (paths) => {
      try {
        const { session, caller } = call;
        const quiet = options.has("quiet");
        let what = `filling the root file system of ${id.name}`;
        const host: TemplateHost = {
          caller,
          write: (descriptor, text) => {
            if (!quiet) session.write(descriptor, text);
          },
          run: (task) => (template.kind === "script" ? session.run(task) : call.runUnseen(task)),
          quiet,
          progress: (text) => {
            what = `${id.name}: ${text}`;
          },
          signal,
        };
        const filling = runTemplate(
          host,
          engine,
          template,
          templateArguments(paths, id.name, parameters),
          config.fileMap,
          paths,
        );
        // A script has the terminal for itself.
        await (template.kind === "builtin" ? call.progress.during(() => ({ what }), filling) : filling);
      } catch (error) {
        templateFailed = true;
        throw error;
      }
      await prependHeader(paths.config, template, parameters);
    },
  };
  try {
    await Promise.race([engine.create(id, create), call.session.gone]);
  } catch (error) {
    // A directory in the way, which is no container, has a cause to tell.
    if (error instanceof IsletError && error.code === "ISLET_EXISTS" && error.hint === undefined) throw error;
    for (const text of errorLines(error)) report.error(text);
    if (templateFailed) report.error("Failed to create container from template");
    return failed();
  }
  return 0;
}

/** -h with -t: the template's own help after ours. */
async function templateHelp({
  options,
  session,
  engine,
}: {
  readonly options: ParsedOptions;
  readonly session: CommandSession;
  readonly engine: Engine;
}): Promise<void> {
  const name = options.value("template");
  if (name === null || name === "none") return;
  try {
    const template = findTemplate(name, session.caller);
    if (template.kind === "script")
      await session.run(await engine.hostCommand([template.path, "-h"], session.caller, {}));
    else if (template.kind === "builtin") {
      const host: TemplateHost = {
        caller: session.caller,
        write: (descriptor, text) => {
          session.write(descriptor, text);
        },
        run: (task) => session.run(task),
        quiet: false,
        progress: () => undefined,
        signal: signalOf(session.gone),
      };
      const help = await builtinTemplates[template.name]?.();
      await help?.({ argv: ["-h"], host, engine, idmap: [], root: null });
    }
  } catch (error) {
    for (const text of errorLines(error)) session.write(2, `lxc-create: ${text}\n`);
  }
}

export const create: Command = lxcCommand(createTable, body, { afterHelp: templateHelp });
