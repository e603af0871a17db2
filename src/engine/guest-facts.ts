import { createHash } from "node:crypto";
import { type Stats, lstatSync, readFileSync, readlinkSync, realpathSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import type { JournalMode } from "../spec/guest.js";
import type { GuestFacts, HostFacts, JournalLink } from "../spec/host.js";
import { plainDirectory } from "../spec/rootfs.js";
import type { ContainerSpec } from "../spec/spec.js";
import type { Arch } from "../sys/arch.js";
import { exportLink } from "../runtime/export-link.js";
import { readGuestFile } from "./guest-files.js";
import { guestUsers } from "./guest-users.js";

const maxFile = 64 * 1024;

/** What the guest is to be told of itself and its host; null: it asks for nothing of it. `root`: a path to the guest's files; null: they cannot be seen. */
export function guestFacts(spec: ContainerSpec, host: HostFacts, root: string | null): GuestFacts | null {
  const { guest } = spec;
  if (!guest.tellsInit && guest.run === null && guest.localtime === "off" && guest.journal === "no") return null;
  const uuid = guest.uuid ?? derivedUuid(spec);
  return {
    uuid,
    osRelease: guest.run === null && !guest.tellsInit ? "" : osRelease(),
    localtime: guest.localtime === "off" ? null : hostLocaltime(),
    journal: journalLink(host.arch, spec, guest.journal, uuid, root),
    users: guestUsers(spec, host, root),
    exportLink: exportLink(host.runtimeDir, spec.storePath, spec.name),
  };
}

/** Digits for the names and addresses of nics that are to stay the same. */
export function stableDigits(spec: ContainerSpec): string {
  return digest("nics", spec).toString("hex");
}

function digest(purpose: string, spec: ContainerSpec): Buffer {
  // The id itself must not be told to guests (machine-id(5)): what is made of it may be.
  const words = ["islet", purpose, firstLine("/etc/machine-id"), spec.storePath, spec.name];
  return createHash("sha256").update(words.join("\0")).digest();
}

/** The same at every start, another for every container: RFC 9562, version 8. */
function derivedUuid(spec: ContainerSpec): string {
  const bytes = digest("uuid", spec).subarray(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** os-release(5): /etc before /usr/lib. */
function osRelease(): string {
  for (const path of ["/etc/os-release", "/usr/lib/os-release"]) {
    const bytes = small(path);
    if (bytes !== null) return bytes.toString("utf8").replaceAll("\0", "");
  }
  return "";
}

function hostLocaltime(): GuestFacts["localtime"] {
  const data = small("/etc/localtime");
  if (data === null) return null;
  return { zone: zoneOf("/etc/localtime"), data: new Uint8Array(data) };
}

/** Area/City of a link into a zoneinfo directory, as localtime(5) has it: what the link says, not where that leads. */
function zoneOf(path: string): string | null {
  try {
    const zone = /(?:^|\/)zoneinfo\/(.+)$/.exec(readlinkSync(path))?.[1] ?? "";
    return /^[A-Za-z0-9_+-]+(?:\/[A-Za-z0-9_+-]+)*$/.test(zone) ? zone : null;
  } catch {
    return null;
  }
}

/** A plain file of the host's of at most 64 KiB. */
function small(path: string): Buffer | null {
  try {
    const bytes = readFileSync(path);
    return bytes.length <= maxFile ? bytes : null;
  } catch {
    return null;
  }
}

function firstLine(path: string): string {
  return small(path)?.toString("utf8").split("\n", 1)[0]?.trim() ?? "";
}

const journals = "/var/log/journal";

/**
 * What is to be done for the guest's journal. The guest's machine id is what its file says, or what it will become of its uuid; without one there is nothing
 * to link yet. ISLET_BAD_CONFIG where a link would be another's.
 */
function journalLink(
  arch: Arch,
  spec: ContainerSpec,
  mode: JournalMode,
  uuid: string,
  root: string | null,
): JournalLink | null {
  if (mode === "no" || root === null) return null;
  const isKept = lstatOf(journals)?.isDirectory() === true;
  if (mode !== "host" && mode !== "guest" && !isKept) return null;
  const id = guestMachineId(arch, root, uuid);
  if (id === null) return null;
  const path = `${journals}/${id}`;
  const there = lstatOf(path);
  if (mode === "auto") {
    const isOurs = id !== firstLine("/etc/machine-id") && there?.isDirectory() === true;
    return isOurs ? { kind: "bind", path, target: `var/log/journal/${id}` } : null;
  }
  const refuse = (why: string): never => {
    throw new IsletError("ISLET_BAD_CONFIG", `the journal of ${spec.name} cannot be linked: ${why}`, {
      hint: "give the container an /etc/machine-id of its own (an empty one is filled at its start), or set islet.journal = no",
    });
  };
  if (id === firstLine("/etc/machine-id")) refuse("its machine id is the host's");
  if (mode === "host" || mode === "try-host") {
    if (there !== null && !there.isDirectory()) refuse(`${path} is in the way`);
    return { kind: "bind", path, target: `var/log/journal/${id}` };
  }
  const directory = plainDirectory(spec.rootfs.source);
  if (directory === null) {
    if (mode === "guest") refuse("its files have no path on the host (islet.journal = host keeps it there)");
    return null;
  }
  const target = `${realpathOf(directory)}/var/log/journal/${id}`;
  if (there === null) return { kind: "link", path, target };
  if (!there.isSymbolicLink()) refuse(`${path} is in the way`);
  if (readlinkSync(path) !== target) refuse(`${path} leads to another container's`);
  return null;
}

function realpathOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

function lstatOf(path: string): Stats | null {
  return lstatSync(path, { throwIfNoEntry: false }) ?? null;
}

/** /etc/machine-id of a root file system, never followed out of it; null: missing, or to be made anew. */
function guestMachineId(arch: Arch, root: string, uuid: string): string | null {
  const text = readGuestFile(arch, root, "etc/machine-id", 64)?.text.trim();
  if (text === undefined) return null;
  if (text === "") return uuid.replaceAll("-", "");
  return /^[0-9a-f]{32}$/.test(text) && !/^0+$/.test(text) ? text : null;
}
