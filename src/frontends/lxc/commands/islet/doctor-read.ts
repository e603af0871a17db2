import { existsSync, readdirSync, readFileSync, readlinkSync, realpathSync, statfsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { IsletError } from "../../../../base/errors.js";
import { showFault } from "../../../../base/source.js";
import { printable } from "../../../../base/printable.js";
import type { HostReport } from "../../../../engine/engine.js";
import type { NicGrants } from "../../../../spec/user-nic.js";
import { wantedBridge } from "../../bridge.js";
import { configPlaces, readKernelConfig } from "../checkconfig.js";
import { optionValues } from "../checkconfig-report.js";
import type { Call } from "../frame.js";
import { loadConfig } from "../load.js";
import { isletVersion } from "../options.js";
import { findProgram } from "../template.js";
import type { ContainerHealth, DoctorFacts, IsletState, KernelState, StoreState } from "./doctor-facts.js";
import { wantedPrograms } from "./doctor-programs.js";

/** Reads what doctor looks at. What cannot be read is null or empty: that is a finding, no failure. */

function text(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function textOrNull(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}

function names(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function numberIn(path: string): number | null {
  const found = text(path).trim();
  return /^\d+$/.test(found) ? Number(found) : null;
}

function kernelOptions(release: string): KernelState["options"] {
  for (const path of ["/proc/config.gz", ...configPlaces(release)]) {
    try {
      return optionValues(readKernelConfig(path));
    } catch {
      // The next place.
    }
  }
  return null;
}

/** Names of modules in modules.dep and modules.builtin; the kernel takes - and _ for the same. */
const moduleNames = (list: string): readonly string[] =>
  [...list.matchAll(/([^/\s]+)\.ko(?:\.\w+)?(?=:|$)/gm)].map(([, name = ""]) => name.replaceAll("-", "_"));

function kernelState(report: HostReport): KernelState {
  const release = text("/proc/sys/kernel/osrelease").trim();
  const modules = `/lib/modules/${release}`;
  return {
    release,
    options: kernelOptions(release),
    namespaces: report.host.namespaces,
    maxUserNamespaces: numberIn("/proc/sys/user/max_user_namespaces"),
    filesystems: [...text("/proc/filesystems").matchAll(/(\S+)$/gm)].map(([, name = ""]) => name),
    miscDevices: [...text("/proc/misc").matchAll(/(\S+)$/gm)].map(([, name = ""]) => name),
    nodes: ["/dev/net/tun", "/dev/fuse"].filter((path) => existsSync(path)),
    loaded: new Set([...names("/sys/module"), ...moduleNames(text(`${modules}/modules.builtin`))]),
    loadable: new Set(moduleNames(text(`${modules}/modules.dep`))),
    seccompFilters: existsSync("/proc/sys/kernel/seccomp/actions_avail"),
    missingCalls: report.missingCalls,
    inotifyInstances: numberIn("/proc/sys/fs/inotify/max_user_instances"),
  };
}

/** Processes by what LXC calls its monitors; islet's have the same title, but another program. */
function lxcMonitors(binary: string): IsletState["lxcMonitors"] {
  return names("/proc").flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return [];
    const match = /^\[lxc monitor\] (\/\S*) ([^\0]+)/.exec(text(`/proc/${entry}/cmdline`));
    if (match === null) return [];
    const exe = programOf(Number(entry));
    if (exe === null || exe === binary || exe.endsWith("/islet")) return [];
    return [{ pid: Number(entry), storePath: match[1] ?? "", name: printable(match[2] ?? "").trim() }];
  });
}

/** The file that a process executes; one that was replaced since counts all the same. */
function programOf(pid: number): string | null {
  try {
    return readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, "");
  } catch {
    return null;
  }
}

const real = (path: string): string => {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
};

function modeOf(path: string): { readonly path: string; readonly mode: number; readonly uid: number } | null {
  const found = statSync(path, { throwIfNoEntry: false });
  return found === undefined ? null : { path, mode: found.mode, uid: found.uid };
}

/** Sockets of monitors that the kernel knows no listener of (/proc/net/unix); those of running containers are none of them. */
function deadSockets(directory: string, report: HostReport): readonly string[] {
  const listed = new Set([...text("/proc/self/net/unix").matchAll(/ (\/.*)$/gm)].map(([, path = ""]) => path));
  const alive = new Set(report.monitors.map((monitor) => monitor.socket));
  return names(directory)
    .map((name) => join(directory, name))
    .filter((path) => !listed.has(path) && !alive.has(path));
}

/** A file that cannot be read is a fault, too. */
async function nicGrants({ engine }: Call): Promise<NicGrants> {
  try {
    return await engine.nicGrants();
  } catch (error) {
    if (!(error instanceof IsletError)) throw error;
    return { grants: [], faults: [{ message: error.message, at: null }] };
  }
}

async function isletState(call: Call, report: HostReport): Promise<IsletState> {
  const { runtimeDir: path } = report.host;
  const daemonBinary = real(report.binary);
  const home = dirname(dirname(daemonBinary));
  const started = Date.now() - process.uptime() * 1000;
  const files = [daemonBinary, join(home, "build/addon.node"), join(home, "dist/src/daemon/main.js")];
  const changed = files.map((file) => statSync(file, { throwIfNoEntry: false })?.ctimeMs ?? 0);
  const installed = /"version":\s*"([^"]+)"/.exec(text(join(home, "package.json")))?.[1] ?? null;
  const client = programOf(call.caller.pid);
  return {
    version: isletVersion,
    installedVersion: installed,
    daemonPid: process.pid,
    isOutdated: changed.some((time) => time > started),
    daemonBinary,
    clientBinary: client === null ? null : real(client),
    runtimeDir: modeOf(path) ?? { path, mode: 0o711, uid: 0 },
    monitorDir: modeOf(join(path, "monitor")),
    socket: modeOf(join(path, "socket")),
    deadSockets: deadSockets(join(path, "monitor"), report),
    nicGrants: await nicGrants(call),
    lxcMonitors: lxcMonitors(daemonBinary),
  };
}

/** The mount that a path is on: the longest mount point above it, the last of those (proc(5), mountinfo). */
export function mountOf(path: string, mountinfo: string): StoreState["mount"] {
  let best: StoreState["mount"] = null;
  for (const line of mountinfo.split("\n")) {
    const [before = "", after = ""] = line.split(" - ");
    const [, , , , rawPoint, options = ""] = before.split(" ");
    if (rawPoint === undefined) continue;
    const point = rawPoint.replace(/\\([0-7]{3})/g, (_, digits: string) =>
      String.fromCharCode(Number.parseInt(digits, 8)),
    );
    const isAbove = point === "/" || path === point || path.startsWith(`${point}/`);
    if (!isAbove || (best !== null && point.length < best.point.length)) continue;
    best = { point, type: after.split(" ")[0] ?? "", options: options.split(",") };
  }
  return best;
}

/** Whether somebody holds a lock on a file: /proc/locks (proc(5)). */
export function isLocked(locks: string, device: number, inode: number): boolean {
  const two = (value: number): string => value.toString(16).padStart(2, "0");
  // As the kernel puts its device numbers into one (makedev(3)).
  const major = Math.floor(device / 256) % 4096;
  const minor = (device % 256) + Math.floor(device / 1048576) * 256;
  return locks.includes(` ${two(major)}:${two(minor)}:${inode} `);
}

const linkTypes = ["veth", "macvlan", "ipvlan", "vlan", "phys"];
/** Numbers of interfaces that are looked at. */
const mostNics = 16;

async function health(call: Call, runtimeDir: string, name: string, isRunning: boolean): Promise<ContainerHealth> {
  const sick = (faults: readonly string[]): ContainerHealth => ({
    name,
    faults,
    missingLinks: [],
    missingRootfs: null,
  });
  const id = { storePath: call.id.storePath, name };
  try {
    const source = await call.engine.readConfig(id);
    if (source === null) return sick([]);
    const loaded = loadConfig(source, call.caller);
    if (loaded.kind === "faulty") return sick(loaded.faults.map(showFault));
    const { config } = loaded;
    if (isRunning) return sick([]);
    config.spec(id, call.caller, { command: null, mode: "exec" }, () => undefined);
    // A start makes the bridge that lxc-net's variables want.
    const links = Array.from({ length: mostNics }, (_, nr) => `lxc.net.${nr}`)
      .filter((nic) => linkTypes.includes(config.item(`${nic}.type`) ?? ""))
      .map((nic) => config.item(`${nic}.link`) ?? "")
      .filter((link) => /^[^/\s]{1,15}$/.test(link) && !existsSync(`/sys/class/net/${link}`))
      .filter((link) => wantedBridge(runtimeDir, link) === null);
    const rootfs = (config.item("lxc.rootfs.path") ?? "").replace(/^dir:/, "");
    return {
      name,
      faults: [],
      missingLinks: [...new Set(links)],
      missingRootfs: rootfs.startsWith("/") && !existsSync(rootfs) ? rootfs : null,
    };
  } catch (error) {
    if (!(error instanceof IsletError)) throw error;
    return sick(error.faults.length > 0 ? error.faults.map(showFault) : [error.message]);
  }
}

async function storeState(call: Call, runtimeDir: string): Promise<StoreState> {
  const { storePath: path } = call.id;
  const isThere = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  if (!isThere) return { path, mount: null, freeBytes: null, freeShare: null, partial: [], containers: [] };
  const running = new Set((await call.engine.active(path)).map(({ name }) => name));
  const room = statfsSync(path, { bigint: true });
  const locks = text("/proc/locks");
  return {
    path,
    mount: mountOf(real(path), text("/proc/self/mountinfo")),
    freeBytes: room.bavail * room.bsize,
    freeShare: room.blocks === 0n ? null : Number(room.bavail) / Number(room.blocks),
    partial: names(path).flatMap((name) => {
      const mark = statSync(join(path, name, "partial"), { throwIfNoEntry: false });
      return mark === undefined ? [] : [{ name, isAlive: isLocked(locks, mark.dev, mark.ino) }];
    }),
    containers: await Promise.all(
      (await call.engine.defined(path)).map((name) => health(call, runtimeDir, name, running.has(name))),
    ),
  };
}

export async function readFacts(call: Call): Promise<DoctorFacts> {
  const report = await call.engine.hostReport();
  const status = text("/proc/self/status");
  const field = (name: string): string => new RegExp(`^${name}:\\s*(\\S+)`, "m").exec(status)?.[1] ?? "0";
  const searchPath = `${call.caller.environment["PATH"] ?? ""}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin`;
  const found = wantedPrograms.map((name) => [name, findProgram(name, searchPath)] as const);
  return {
    kernel: kernelState(report),
    cgroups: report.host.cgroups,
    controllers: [...text("/proc/cgroups").matchAll(/^(\w+)\s+\d+\s+\d+\s+(\d)$/gm)].map(([, name = "", enabled]) => ({
      name,
      enabled: enabled === "1",
    })),
    security: {
      apparmor: report.host.lsm.apparmor,
      selinux: report.host.lsm.selinux,
      underSeccomp: field("Seccomp") !== "0",
    },
    privileges: {
      uid: process.getuid?.() ?? 0,
      capabilities: BigInt(`0x${field("CapEff")}`),
      lastCapability: report.host.lastCapability,
      inUserNamespace: report.host.inUserNamespace,
      subuid: textOrNull("/etc/subuid"),
      subgid: textOrNull("/etc/subgid"),
    },
    programs: new Map(found.flatMap(([name, path]) => (path === null ? [] : [[name, path] as const]))),
    islet: await isletState(call, report),
    store: await storeState(call, report.host.runtimeDir),
  };
}
