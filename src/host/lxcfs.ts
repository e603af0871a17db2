import { readdirSync, readlinkSync } from "node:fs";
import type { LxcfsFacts } from "../spec/host.js";
import type { Arch } from "../sys/arch.js";
import { view } from "../sys/bytes.js";
import { direntNames } from "../sys/dirent.js";
import { readKernelFile } from "./fd.js";
import { type MountLine, parseMountinfo } from "../sys/mountinfo.js";

/** LXCFS on the host: its mount and its process. Nothing here asks LXCFS itself, which may be dead or not answer. */

const fstype = "fuse.lxcfs";

/** Mounts of LXCFS in a mountinfo, whoever runs it. */
export function lxcfsMounts(mountinfo: string): readonly MountLine[] {
  // A guest may have very many others.
  const lines = mountinfo.split("\n").filter((line) => line.includes(` - ${fstype} `));
  return parseMountinfo(lines.join("\n")).filter((mount) => mount.fstype === fstype);
}

/** The device number of what root has mounted there; null: no LXCFS, or something on top of it. */
export function hostLxcfs(mountinfo: string, path: string): string | null {
  // Hosts may have very many others.
  const lines = mountinfo.split("\n").filter((line) => line.includes(` ${path} `));
  const top = parseMountinfo(lines.join("\n"))
    .filter(({ point }) => point === path)
    .at(-1);
  return top?.fstype === fstype && top.superOptions.includes("user_id=0") ? top.device : null;
}

/** What the program of `planLxcfsQuestion` wrote. */
export function lxcfsFacts(answer: Uint8Array): LxcfsFacts {
  const [proc = [], pressure = [], cpu = []] = directories(answer);
  return {
    proc: [...proc.filter((name) => name !== "pressure"), ...pressure.map((name) => `pressure/${name}`)],
    cpu: cpu.includes("uevent") ? "whole" : cpu,
  };
}

function directories(answer: Uint8Array): readonly (readonly string[])[] {
  const found: string[][] = [[]];
  for (let at = 0; at + 8 <= answer.length;) {
    const length = Number(view(answer).getBigUint64(at, true));
    at += 8;
    // Version 5.0.3 says "online" twice.
    if (length === 0) found.push([]);
    else
      found[found.length - 1] = [
        ...new Set([...(found.at(-1) ?? []), ...direntNames(answer.subarray(at, at + length))]),
      ];
    at += length;
  }
  return found;
}

/** Processes that may be the server of that device: exactly it where the kernel tells (fdinfo of /dev/fuse, since 6.10), else every LXCFS. */
export function lxcfsServers(arch: Arch, device: string): readonly number[] {
  const pids = list("/proc").filter((name) => /^\d+$/.test(name));
  return pids
    .filter((pid) => readKernelFile(arch, `/proc/${pid}/comm`)?.trim() === "lxcfs" && serves(arch, pid, device))
    .map(Number);
}

function serves(arch: Arch, pid: string, device: string): boolean {
  const minor = device.slice(device.indexOf(":") + 1);
  return list(`/proc/${pid}/fd`).some((fd) => {
    if (target(`/proc/${pid}/fd/${fd}`) !== "/dev/fuse") return false;
    const connection = /^fuse_connection:\s*(\d+)/m.exec(readKernelFile(arch, `/proc/${pid}/fdinfo/${fd}`) ?? "");
    return connection === null || connection[1] === minor;
  });
}

function list(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch {
    return []; // It has ended meanwhile.
  }
}

function target(link: string): string | null {
  try {
    return readlinkSync(link);
  } catch {
    return null;
  }
}
