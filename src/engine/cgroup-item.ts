import { constants, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { IsletError } from "../base/errors.js";
import { readKernelFile } from "../host/fd.js";
import { translatedItem, translatedSettings } from "../plan/cgroup-item.js";
import { deviceList } from "../plan/device-bpf.js";
import type { MonitorMeta } from "../runtime/monitors.js";
import type { CgroupSetting, DeviceRule } from "../spec/cgroup.js";
import { type FindDevice, parseDeviceRule } from "../spec/device-rule.js";
import type { HostFacts } from "../spec/host.js";
import type { Arch } from "../sys/arch.js";
import { majorOf, minorOf } from "../sys/structs.js";
import { currentDevices, hasProgram } from "./device-rules.js";

/** Files of a running container's cgroup, by the kernel's name: `memory.max`. */

/** Directories may be the guest's own (it may make cgroups): only names without a way out of them. */
function checkItem(item: string): void {
  if (item.length > 255 || !/^[a-z][a-z0-9_]*(\.[A-Za-z0-9_-]+)+$/.test(item))
    throw new IsletError("ISLET_BAD_REQUEST", `"${item}" is no name of a cgroup file, such as memory.max`);
}

/** Where it is, if the host has it: the hierarchy of its controller, or the unified one. */
function pathsOf(meta: MonitorMeta, item: string): readonly string[] {
  const controller = item.split(".")[0] ?? "";
  const legacy = meta.cgroups.find((one) => one.controllers.includes(controller));
  return [legacy?.path ?? null, meta.unified].flatMap((directory) =>
    directory === null ? [] : [`${directory}/${item}`],
  );
}

function readItem(arch: Arch, meta: MonitorMeta, item: string): string | null {
  for (const path of pathsOf(meta, item)) {
    const text = readKernelFile(arch, path);
    if (text !== null) return text;
  }
  return null;
}

/** Both names mean the freezer that is in use, whichever it is: the container's state goes with it, so it is more than a file. */
const freezerItems: readonly string[] = ["freezer.state", "cgroup.freeze"];

function hasLegacyFreezer(meta: MonitorMeta): boolean {
  return meta.cgroups.some((one) => one.controllers.includes("freezer"));
}

/** What writing this means for the freezer: true freeze, false thaw; null: it is another file. */
export function freezerSwitch(item: string, value: string): boolean | null {
  if (!freezerItems.includes(item)) return null;
  const words = item === "freezer.state" ? ["THAWED", "FROZEN"] : ["0", "1"];
  const index = words.indexOf(value.trim());
  if (index < 0) throw refusal(item, value, "EINVAL");
  return index === 1;
}

/** What writing this means for a container whose device rules are kept by a program; null: it is another file. */
export function deviceRuleOf(meta: MonitorMeta, item: string, value: string): DeviceRule | null {
  if ((item !== "devices.allow" && item !== "devices.deny") || !hasProgram(meta)) return null;
  const parsed = parseDeviceRule(value.trim(), item === "devices.allow", null, findDevice);
  if (parsed.kind === "rule") return parsed.rule;
  throw new IsletError(
    "ISLET_BAD_REQUEST",
    `${item} cannot be set: ${parsed.message}`,
    parsed.hint === undefined ? {} : { hint: parsed.hint },
  );
}

function findDevice(path: string): ReturnType<FindDevice> {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return null;
  if (!stats.isBlockDevice() && !stats.isCharacterDevice()) return "other";
  return { type: stats.isBlockDevice() ? "b" : "c", major: majorOf(stats.rdev), minor: minorOf(stats.rdev) };
}

/** The text of the file, with its line ends; what the host knows by the name of the other cgroup version is translated. */
export function cgroupItem(host: HostFacts, meta: MonitorMeta, item: string): string {
  checkItem(item);
  const { arch } = host;
  const devices = item === "devices.list" ? currentDevices(host, meta) : null;
  if (devices !== null) return deviceList(devices);
  const isIdle = item === "cgroup.freeze" && hasLegacyFreezer(meta);
  const text = isIdle ? null : readItem(arch, meta, item);
  if (text !== null) return text;
  const translated = translatedItem(item, (file) => readItem(arch, meta, file)?.trim() ?? null);
  if (translated !== null) return `${translated}\n`;
  throw new IsletError(
    "ISLET_IO",
    `${item} cannot be read: the container's cgroup has no such file, or only for writing`,
  );
}

/** Writes to the file, or to what corresponds to it on this host. */
export async function setCgroupItem(arch: Arch, meta: MonitorMeta, item: string, value: string): Promise<void> {
  checkItem(item);
  if (value === "") throw new IsletError("ISLET_BAD_REQUEST", `nothing to write to ${item}`);
  let refused = await writeFirst(meta, item, value);
  if (refused === "ENOENT") {
    const settings = translations(arch, meta, item, value);
    if (settings.length > 0) refused = null;
    for (const setting of settings) refused ??= await writeFirst(meta, setting.file, setting.value);
  }
  if (refused !== null) throw refusal(item, value, refused);
}

function translations(arch: Arch, meta: MonitorMeta, item: string, value: string): readonly CgroupSetting[] {
  try {
    return translatedSettings(item, value, (file) => readItem(arch, meta, file)?.trim() ?? null);
  } catch (error) {
    if (error instanceof IsletError && error.code === "ISLET_UNSUPPORTED") return [];
    throw error;
  }
}

function refusal(item: string, value: string, errno: string): IsletError {
  if (errno !== "ENOENT") return new IsletError("ISLET_IO", `${item} cannot be set to "${value}": ${errno}`, { errno });
  return new IsletError("ISLET_IO", `${item} cannot be set: the container's cgroup has no such file`, {
    errno,
  });
}

/** null: written. Otherwise the name of the error; ENOENT: no such file anywhere. Some writes take the kernel long: not on this thread. */
async function writeFirst(meta: MonitorMeta, item: string, value: string): Promise<string | null> {
  for (const path of pathsOf(meta, item)) {
    const refused = await writeOnce(path, value);
    if (refused !== "ENOENT") return refused;
  }
  return "ENOENT";
}

/** In one write(2), as the files of cgroups want it. */
async function writeOnce(path: string, value: string): Promise<string | null> {
  let file;
  try {
    file = await open(path, constants.O_WRONLY | constants.O_NOFOLLOW);
    const { bytesWritten } = await file.write(value);
    return bytesWritten === Buffer.byteLength(value) ? null : "E2BIG";
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "EIO";
    return code;
  } finally {
    await file?.close();
  }
}
