import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Cleaner } from "./cleanup.js";
import { instance, watchTraces, type Instance, type Traces } from "./instance.js";
import { netns, type Netns } from "./netns.js";
import { busyboxConfig, busyboxRootfs } from "./store.js";

/** A network namespace of the test's own, with the bridge islt-br (10.9.0.1) and islt's daemon in it. */
export interface Place {
  readonly net: Netns;
  readonly own: Instance;
  /** Makes a container with these lines about its network and starts it. */
  readonly run: (name: string, lines: string) => Promise<void>;
  /** What a command in the container prints. */
  readonly inside: (name: string, ...command: readonly string[]) => Promise<string>;
  readonly stop: (name: string) => Promise<void>;
}

export async function place(t: Cleaner): Promise<Place> {
  const net = await netns(t);
  await net.ok(["ip", "link", "add", "islt-br", "type", "bridge"]);
  await net.ok(["ip", "addr", "add", "10.9.0.1/24", "dev", "islt-br"]);
  await net.ok(["ip", "addr", "add", "fd09::1/64", "dev", "islt-br", "nodad"]);
  await net.ok(["ip", "link", "set", "islt-br", "up"]);
  const own = await instance(t, { netnsPid: net.pid });
  return {
    net,
    own,
    run: async (name, lines) => {
      make(own, name, lines);
      await own.ok(["lxc-start", ...own.store.at(name)]);
    },
    inside: (name, ...command) => own.ok(["lxc-attach", ...own.store.at(name), "--", ...command]),
    stop: async (name) => {
      await own.ok(["lxc-stop", ...own.store.at(name), "-k"]);
    },
  };
}

/** A container whose network is what the lines say. */
export function make(own: Instance, name: string, lines: string): void {
  const rootfs = join(own.store.path, name, "rootfs");
  if (!existsSync(rootfs)) busyboxRootfs(rootfs);
  const config = busyboxConfig(rootfs, name).replace("lxc.net.0.type = empty\n", "");
  writeFileSync(join(own.store.path, name, "config"), `${config}${lines}\n`);
}

/** As `ip -o link` prints them: name to the rest of its line. */
export function linkTable(text: string): ReadonlyMap<string, string> {
  return new Map(
    [...text.matchAll(/^\d+: ([^:@]+)(?:@[^:]*)?: (.*)$/gm)].map(([, name = "", rest = ""]) => [name, rest]),
  );
}

/** What there is before the container; its directory is made by hand and stays. */
export function startTraces(own: Instance, net: Netns, name: string): Promise<Traces> {
  make(own, name, "");
  return watchTraces(own, [name], net.pid);
}

/** The pid of its init. */
export async function pidOf(own: Instance, name: string): Promise<number> {
  return Number(await own.ok(["lxc-info", ...own.store.at(name), "-pH"]));
}
