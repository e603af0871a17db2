import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { AbsPath } from "../../src/base/brand.js";
import type { Caller, StartOptions } from "../../src/engine/engine.js";
import { createEngine, type LocalEngine } from "../../src/engine/local.js";
import { hostFile } from "../../src/frontends/libvirt/spec/host-file.js";
import { type SpecContext, toSpec } from "../../src/frontends/libvirt/spec/to-spec.js";
import type { DomainDoc } from "../../src/frontends/libvirt/xml/domain.js";
import { probeHost } from "../../src/host/probe.js";
import { cleanup, type Cleaner } from "../support/cleanup.js";
import { command, type CommandResult } from "../support/command.js";
import { domain, filesystem } from "../support/domain.js";
import { root as checkout, runtimeDir } from "../support/paths.js";
import { busyboxRootfs, tempStore, type Store } from "../support/store.js";
import { waitFor } from "../support/wait.js";

/** Domains that an engine in the test itself starts, in a store of the test's own. */
export interface Domains {
  readonly store: Store;
  readonly engine: LocalEngine;
  /** A busybox root file system below the store. */
  readonly rootfs: (name: string) => string;
  /** With a busybox root file system of its own unless `changes` names filesystems. */
  readonly start: (name: string, changes?: Partial<DomainDoc>, options?: DomainStart) => Promise<RunningDomain>;
}

export interface DomainStart {
  readonly context?: Partial<SpecContext>;
  readonly listen?: StartOptions["listen"];
  /** Somebody in whose network namespace the links of the host's side are; default: here. */
  readonly near?: number;
  readonly failOperation?: number;
}

export interface RunningDomain {
  readonly name: string;
  readonly rootfs: string;
  readonly pid: number;
  /** Runs in the namespaces of init, with its root; nothing of the environment is the guest's. */
  readonly sh: (script: string) => Promise<string>;
  readonly try: (script: string) => Promise<CommandResult>;
  /** What a script of `says` has written. */
  readonly output: () => Promise<string>;
  readonly kill: () => Promise<void>;
}

/** An init that runs the script, as nothing but init is confined, and then waits. Its output is read with `output`. */
export function says(script: string): Partial<DomainDoc> {
  const whole = `{ ${script}\n} > /output.new 2>&1; mv /output.new /output; exec sleep 1000`;
  return { os: { ...domain().os, init: "/bin/sh", initArgs: ["-c", whole] } };
}

const killed = { kind: "kill", timeout: 5000, noKill: false } as const;
const caller: Caller = { uid: 0, gid: 0, pid: process.pid, environment: { PATH: "/bin" }, cwd: "/" };

export function domains(t: Cleaner): Domains {
  // What is registered first is done first: everything ends before the store goes.
  const atEnd = cleanup(t);
  // The engine's sockets keep no process alive: in a daemon the listeners do.
  const alive = setInterval(() => undefined, 1000);
  atEnd(() => {
    clearInterval(alive);
  });
  const store = tempStore(t);
  mkdirSync(`${runtimeDir}/monitor`, { recursive: true, mode: 0o700 });
  const engine = createEngine({
    host: probeHost(runtimeDir),
    binary: join(checkout, "build/islet"),
    keepSpare: false,
    isUnderTest: true,
    guestDoor: () => Promise.reject(new Error("no guest has an API")),
  });
  atEnd(async () => {
    engine.registry.abandon();
    await engine.close();
  });
  const rootfs = (name: string): string => {
    const path = join(store.path, name, "rootfs");
    if (!existsSync(path)) busyboxRootfs(path);
    return path;
  };
  return {
    store,
    engine,
    rootfs,
    start: async (name, changes = {}, options = {}) => {
      const path = join(store.path, name, "rootfs");
      const root = changes.filesystems === undefined ? [filesystem({ kind: "mount", dir: rootfs(name) }, "/")] : [];
      const doc = domain({ name, filesystems: root, ...changes });
      const spec = toSpec(doc, {
        storePath: store.path as AbsPath,
        configFile: join(store.path, name, "config"),
        networks: () => null,
        shared: () => null,
        passedFds: options.listen?.fds.length ?? 0,
        stat: hostFile,
        ...options.context,
      });
      const status = await engine.start(spec, {
        caller: { ...caller, pid: options.near ?? caller.pid },
        pidFile: null,
        console: "monitor",
        ...(options.listen === undefined ? {} : { listen: options.listen }),
        ...(options.failOperation === undefined ? {} : { failOperation: options.failOperation }),
      });
      const pid = status.initPid ?? 0;
      const inside = (script: string): Promise<CommandResult> =>
        command(["nsenter", "-t", String(pid), "-a", "-r", "-w", "/bin/sh", "-c", script], {
          env: { PATH: "/sbin:/bin:/usr/sbin:/usr/bin" },
        });
      atEnd(async () => {
        if (engine.registry.get(spec) !== undefined) await engine.stop(spec, killed);
      });
      return {
        name,
        rootfs: path,
        pid,
        try: inside,
        sh: async (script) => {
          const result = await inside(script);
          if (result.status !== 0) throw new Error(`${script}: status ${result.status}: ${result.stderr}`);
          return result.stdout.trim();
        },
        output: async () => {
          const file = join(path, "output");
          await waitFor("what init says", () => existsSync(file));
          return readFileSync(file, "utf8").trim();
        },
        kill: async () => {
          await engine.stop(spec, killed);
        },
      };
    },
  };
}
