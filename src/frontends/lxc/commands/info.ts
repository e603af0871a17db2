import type { Command, ContainerStatus, LinkStatus, ResourceUsage } from "../../../engine/engine.js";
import { IsletError } from "../../../base/errors.js";
import { containerConfig } from "./container-config.js";
import { type Call, jsonText, lxcCommand, outputFormat } from "./frame.js";
import type { CommandTable } from "./getopt.js";
import { tellHint } from "./hints.js";
import type { LoadedConfig } from "./load.js";
import { commonOptions, formatOption, option, rcfileOption } from "./options.js";
import { configurations } from "./system.js";

export const infoTable: CommandTable = {
  tool: "lxc-info",
  synopsis: "--name=NAME [-s] [-p] [-i] [-S] [-H] [-c KEY]...",
  description: "Shows what is known of a container: everything, or what the options select.",
  options: [
    option("config", "value of a key of its configuration; may be repeated", { short: "c", argument: "KEY" }),
    option("ips", "IP addresses", { short: "i" }),
    option("state", "state", { short: "s" }),
    option("pid", "process id of its init", { short: "p" }),
    option("stats", "use of processor, memory and network", { short: "S" }),
    option("no-humanize", "plain numbers; with one selection the bare value", { short: "H" }),
    ...commonOptions,
    rcfileOption,
    formatOption,
  ],
  operands: "any",
  named: true,
  notes: [
    "`--format json` prints one object: name, state, pid, ips, stats, links, config; members that were not selected are left out.",
  ],
};

/** Byte counts just as LXC prints them: units begin above (not at) their power, and rounding is its integer arithmetic. */
export function lxcBytes(bytes: bigint): string {
  const fraction = (hundredths: bigint): string => String(hundredths).padStart(2, "0");
  if (bytes > 1n << 30n) return `${bytes >> 30n}.${fraction((bytes & ((1n << 30n) - 1n)) / 10737419n)} GiB`;
  if (bytes > 1n << 20n) {
    const rounded = bytes + 5243n;
    return `${rounded >> 20n}.${fraction(((rounded & ((1n << 20n) - 1n)) * 100n) >> 20n)} MiB`;
  }
  if (bytes > 1n << 10n) {
    const rounded = bytes + 5n;
    return `${rounded >> 10n}.${fraction(((rounded & 1023n) * 100n) >> 10n)} KiB`;
  }
  return `${bytes} bytes`;
}

export interface Selection {
  readonly state: boolean;
  readonly pid: boolean;
  readonly ips: boolean;
  readonly stats: boolean;
  readonly keys: readonly string[];
  /** Nothing was selected: everything, headed by the name. */
  readonly all: boolean;
  readonly humanize: boolean;
  /** -H with exactly one selection: values without labels. -S counts as several. */
  readonly bare: boolean;
}

export interface Info {
  readonly status: ContainerStatus;
  readonly addresses: readonly string[];
  readonly usage: ResourceUsage | null;
  readonly links: readonly LinkStatus[];
  /** null: no such key. */
  readonly values: readonly (readonly [key: string, value: string | null])[];
}

const label = (name: string, value: string): string => `${`${name}:`.padEnd(15)} ${value}\n`;

function seconds(nanoseconds: bigint): string {
  // LXC computes with single precision floats; two decimals show the difference only beyond 46 hours.
  return `${(Math.fround(Number(nanoseconds)) / 1e9).toFixed(2)} seconds`;
}

/** Standard output, and the keys that do not exist. */
export function infoText(
  info: Info,
  selection: Selection,
): { readonly out: string; readonly invalid: readonly string[] } {
  const { status, usage } = info;
  const running = status.state !== "STOPPED";
  const line = (name: string, value: string): string => (selection.bare ? `${value}\n` : label(name, value));
  const bytes = (value: bigint): string => (selection.humanize ? lxcBytes(value) : String(value));
  const stat = (name: string, value: bigint | null, show: (value: bigint) => string): string =>
    value === null ? "" : label(name, show(value));
  let out = "";
  const invalid: string[] = [];
  if (selection.all) out += line("Name", status.name);
  if (selection.state) out += line("State", status.state);
  if (selection.pid && running && status.initPid !== null) out += line("PID", String(status.initPid));
  if (selection.ips && running) for (const address of info.addresses) out += line("IP", address);
  if (selection.stats && running) {
    if (usage !== null) {
      out += stat("CPU use", usage.cpuNanoseconds, selection.humanize ? seconds : String);
      out += stat("BlkIO use", usage.blkioBytes, bytes);
      out += stat("Memory use", usage.memoryBytes, bytes);
      out += stat("KMem use", usage.kernelMemoryBytes, bytes);
    }
    for (const link of info.links) {
      out += label("Link", link.hostName);
      // What the host's end receives is what the container sent.
      out += label(" TX bytes", bytes(link.rxBytes));
      out += label(" RX bytes", bytes(link.txBytes));
      out += label(" Total bytes", bytes(link.rxBytes + link.txBytes));
    }
  }
  for (const [key, value] of info.values) {
    if (value === null) invalid.push(`${key} invalid`);
    else if (!selection.humanize && info.values.length === 1) out += `${value}\n`;
    else out += value === "" ? `${key} =\n` : `${key} = ${value}\n`;
  }
  return { out, invalid };
}

/** The members of --format json. */
export function infoJson(info: Info, selection: Selection): Readonly<Record<string, unknown>> {
  const { status, usage } = info;
  return {
    name: status.name,
    ...(selection.state ? { state: status.state } : {}),
    ...(selection.pid ? { pid: status.initPid } : {}),
    ...(selection.ips ? { ips: info.addresses } : {}),
    ...(selection.stats && usage !== null
      ? {
          stats: {
            cpuNanoseconds: usage.cpuNanoseconds,
            blkioBytes: usage.blkioBytes,
            memoryBytes: usage.memoryBytes,
            kernelMemoryBytes: usage.kernelMemoryBytes,
            swapBytes: usage.swapBytes,
          },
        }
      : {}),
    ...(selection.stats
      ? { links: info.links.map((link) => ({ name: link.hostName, txBytes: link.rxBytes, rxBytes: link.txBytes })) }
      : {}),
    ...(selection.keys.length > 0 ? { config: Object.fromEntries(info.values) } : {}),
  };
}

async function body(call: Call): Promise<number> {
  const { engine, id, options, session } = call;
  const format = outputFormat(options);
  const has = (long: string): boolean => options.has(long);
  const keys = options.values("config");
  const all = !has("state") && !has("pid") && !has("ips") && !has("stats") && keys.length === 0;
  const count = [has("ips"), has("state"), has("pid")].filter(Boolean).length + (has("stats") ? 5 : 0);
  const humanize = !has("no-humanize");
  const selection: Selection = {
    all,
    state: all || has("state"),
    pid: all || has("pid"),
    ips: all || has("ips"),
    stats: all || has("stats"),
    keys,
    humanize,
    bare: !humanize && count === 1,
  };

  const status = await engine.status(id);
  const running = status.state !== "STOPPED";
  // The state of a container needs no more of its configuration than that there is one.
  const wantsConfig = keys.length > 0 || has("rcfile") || (all && !running);
  let config: LoadedConfig | null = null;
  if (wantsConfig) {
    const loaded = await containerConfig(call, { kind: "look" });
    if (loaded.kind === "failed") {
      if (!has("rcfile")) call.report.bare(`Failure to retrieve information on ${id.storePath}:${id.name}`);
      return 1;
    }
    if (loaded.kind === "loaded") config = loaded.config;
    else if (!running) throw new IsletError("ISLET_NOT_FOUND", `${id.name} doesn't exist`);
  } else if (!running && (await engine.readConfig(id)) === null) {
    throw new IsletError("ISLET_NOT_FOUND", `${id.name} doesn't exist`);
  }

  const [addresses, usage, links] = await Promise.all([
    running && selection.ips ? engine.addresses(id) : { ipv4: [], ipv6: [] },
    running && selection.stats ? engine.usage(id) : null,
    running && selection.stats ? engine.links(id) : [],
  ]);
  const info: Info = {
    status,
    // As getifaddrs(3) tells them.
    addresses: [...addresses.ipv4, ...addresses.ipv6],
    usage,
    links,
    // LXC knows the keys of a nic, not the nic itself.
    values: keys.map((key) => [key, /^lxc\.net\.\d+$/.test(key) ? null : (config?.item(key) ?? null)]),
  };
  const { out, invalid } = infoText(info, selection);
  session.write(1, format === "json" ? jsonText(infoJson(info, selection)) : out);
  for (const text of invalid) call.report.bare(text);
  for (const [key, value] of info.values) {
    const near = value === null ? (await configurations()).nearestKey(key) : null;
    if (near !== null) tellHint(call, `did you mean ${near}?`);
  }
  return 0;
}

export const info: Command = lxcCommand(infoTable, body);
