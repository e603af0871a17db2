/** What libvirt would find out after it has begun a start, or not at all: looked for before anything is made. */
import { accessSync, constants, existsSync, lstatSync, readdirSync, readlinkSync, statSync } from "node:fs";
import { securityModels } from "../host/security-models.js";
import { errorCodes, errorDomains } from "../errors.js";
import type { DomainDoc, Filesystem, NamespaceSource } from "../xml/domain.js";
import { defaultPartition, partitionPath } from "./cgroup.js";
import { failedStart, refusal } from "./context.js";
import { rootOf } from "./filesystem.js";

/** @throws LibvirtError */
export async function checkStart(doc: DomainDoc): Promise<void> {
  for (const { source, target } of doc.filesystems) checkSource(source, target);
  checkNamespaces(doc);
  checkPartition(doc);
  checkLabels(doc);
  checkInit(doc);
  return Promise.resolve();
}

function checkSource(source: Filesystem["source"], target: string): void {
  const path =
    source.kind === "mount"
      ? source.dir
      : source.kind === "block"
        ? source.dev
        : source.kind === "file"
          ? source.file
          : null;
  if (path === null) return;
  if (!existsSync(path)) throw failedStart(`the source ${path} of the filesystem ${target} does not exist`);
  if (source.kind === "mount" && target === "/" && !statSync(path).isDirectory())
    throw failedStart(`the root file system ${path} is not a directory`);
}

function checkNamespaces({ namespaces }: DomainDoc): void {
  const check = (what: string, file: string, source: NamespaceSource | null): void => {
    if (source?.type === "pid" && !existsSync(`/proc/${source.value}/ns/${file}`))
      throw refusal(errorCodes.system, errorDomains.lxc, `failed to open ns ${what}: No such file or directory`);
    if (source?.type === "netns" && !existsSync(`/run/netns/${source.value}`))
      throw refusal(
        errorCodes.system,
        errorDomains.lxc,
        `failed to open netns ${source.value}: No such file or directory`,
      );
  };
  check("sharenet", "net", namespaces?.net ?? null);
  check("shareipc", "ipc", namespaces?.ipc ?? null);
  check("shareuts", "uts", namespaces?.uts ?? null);
}

const hierarchies = "/sys/fs/cgroup";

/** A partition is the administrator's, with limits that hold for all that is in it: one that is not there would have none. */
function checkPartition({ partition }: DomainDoc): void {
  if (partition === null || partition === defaultPartition) return;
  const path = partitionPath(partition);
  const places = [hierarchies, ...readdirSync(hierarchies).map((name) => `${hierarchies}/${name}`)];
  if (!places.some((place) => existsSync(`${place}/${path}/cgroup.procs`)))
    throw refusal(
      errorCodes.system,
      errorDomains.none,
      `Failed to create controller cpu for group: No such file or directory`,
    );
}

function checkLabels({ seclabels }: DomainDoc): void {
  for (const { type, model } of seclabels) {
    if (type === "none" || model === null || model === "none") continue;
    const sign = securityModels[model];
    if (sign === undefined || !existsSync(sign))
      throw refusal(
        errorCodes.configUnsupported,
        errorDomains.security,
        `Security driver model '${model}' is not available`,
      );
  }
}

function checkInit(doc: DomainDoc): void {
  const { init, initDir } = doc.os;
  const where = (path: string): string => `'${path}' relative to container root`;
  // A relative one is looked for when it is executed, in the working directory.
  const program = init.startsWith("/") ? find(doc, init) : "unknown";
  if (program === null) throw failedStart(`cannot find init path ${where(init)}: No such file or directory`);
  if (program !== "unknown" && !isExecutable(program))
    throw failedStart(`cannot execute init path ${where(init)}: Permission denied`);
  if (initDir === null || !initDir.startsWith("/")) return;
  const directory = find(doc, initDir);
  if (directory === null) throw failedStart(`cannot find init directory ${where(initDir)}: No such file or directory`);
  if (directory !== "unknown" && !statSync(directory).isDirectory())
    throw failedStart(`cannot use init directory ${where(initDir)}: Not a directory`);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** As many links as the kernel follows. */
const mostLinks = 40;

/**
 * The file of the host that a path inside will be, with links followed as the guest's root will have it, never the host's; null: there is none. "unknown":
 * it lies in a file system that is not to be seen before it is mounted.
 */
function find(doc: DomainDoc, inside: string): string | null {
  let rest = parts(inside);
  let at: readonly string[] = [];
  let links = 0;
  for (;;) {
    const [name, ...behind] = rest;
    if (name === undefined) return hostPath(doc, at);
    rest = behind;
    if (name === "..") {
      at = at.slice(0, -1);
      continue;
    }
    const next = [...at, name];
    const path = hostPath(doc, next);
    if (path === "unknown") return path;
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found === undefined) return null;
    if (!found.isSymbolicLink()) {
      if (behind.length > 0 && !found.isDirectory()) return null;
      at = next;
      continue;
    }
    links += 1;
    if (links > mostLinks) return null;
    const target = readlinkSync(path);
    if (target.startsWith("/")) at = [];
    rest = [...parts(target), ...behind];
  }
}

const parts = (path: string): readonly string[] => path.split("/").filter((part) => part !== "" && part !== ".");

/** Of what is mounted at or above it the last one counts. */
function hostPath(doc: DomainDoc, inside: readonly string[]): string {
  const root = rootOf(doc);
  const above = doc.filesystems.findLast(({ target }) => {
    const place = parts(target);
    return place.length > 0 && place.length <= inside.length && place.every((part, index) => part === inside[index]);
  });
  const { source } = above ?? root ?? { source: { kind: "mount" as const, dir: "/" } };
  if (source.kind !== "mount") return "unknown";
  const rest = inside.slice(above === undefined ? 0 : parts(above.target).length);
  return [source.dir.replace(/\/+$/, ""), ...rest].join("/") || "/";
}
