import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { root } from "./paths.js";

/** One process as /proc tells it. */
export interface HostProcess {
  readonly pid: number;
  readonly parent: string;
  readonly command: string;
  readonly environment: string;
  readonly cgroup: string;
  readonly program: string;
  readonly netns: string;
}

/** The host at one moment; each list is what `mount`, `ip link`, a walk of the cgroup trees and so on would show. */
export interface HostPicture {
  readonly mounts: readonly string[];
  readonly links: readonly string[];
  readonly cgroups: readonly string[];
  /** Those of the cgroups without a process in or below them. */
  readonly vacant: readonly string[];
  readonly run: readonly string[];
  /** Loop devices with the files behind them. */
  readonly loops: readonly string[];
  readonly netns: readonly string[];
  readonly processes: ReadonlyMap<string, HostProcess>;
}

interface HostModule {
  readonly picture: () => HostPicture;
  readonly processes: () => ReadonlyMap<string, HostProcess>;
  readonly differences: (
    before: HostPicture,
    after: HostPicture,
    options: { readonly marks: readonly string[]; readonly shared?: boolean },
  ) => readonly string[];
  readonly daemonsOf: (runtimeDir: string) => readonly HostProcess[];
  readonly stopDaemons: (runtimeDir: string, seconds?: number) => Promise<void>;
  /** A negative number: the process group. */
  readonly end: (pid: number, signal: NodeJS.Signals) => void;
  readonly cgroupMounts: () => readonly string[];
  readonly sweepLxc: (
    before: HostPicture,
    what: { readonly names: readonly string[]; readonly stores: readonly string[] },
  ) => void;
}

// The runner looks at the host with the same eyes.
const host = (await import(pathToFileURL(join(root, "scripts/lib/host.mjs")).href)) as HostModule;

export const end: HostModule["end"] = host.end;
export const processes: HostModule["processes"] = host.processes;
export const picture: HostModule["picture"] = host.picture;
export const differences: HostModule["differences"] = host.differences;
export const daemonsOf: HostModule["daemonsOf"] = host.daemonsOf;
export const stopDaemons: HostModule["stopDaemons"] = host.stopDaemons;
export const cgroupMounts: HostModule["cgroupMounts"] = host.cgroupMounts;
export const sweepLxc: HostModule["sweepLxc"] = host.sweepLxc;
