import { chmodSync, mkdirSync } from "node:fs";
import type { Caller, ContainerId, ContainerStatus } from "../engine/engine.js";
import { type LibraryCalls, serveLibrary } from "../engine/library.js";
import { createEngine } from "../engine/local.js";
import { lxcDocuments } from "../frontends/lxc/commands/documents.js";
import { hasDomain } from "../frontends/libvirt/driver/definitions.js";
import { guestDoor } from "../frontends/lxd/guest/load.js";
import { probeHost } from "../host/probe.js";
import { binary } from "./paths.js";

/** Milliseconds in which what another engine has started is seen here. */
const sightTime = 1000;

/** The engine in the program that uses it: what daemon/main.ts wires, without sockets. */
export async function openInProcess(runtimeDirectory: string): Promise<LibraryCalls> {
  mkdirSync(runtimeDirectory, { recursive: true, mode: 0o711 });
  mkdirSync(`${runtimeDirectory}/monitor`, { recursive: true, mode: 0o700 });
  chmodSync(`${runtimeDirectory}/monitor`, 0o700);
  const engine = createEngine({
    host: probeHost(runtimeDirectory),
    binary,
    keepSpare: true,
    guestDoor,
    wantedBridge: async (name) => (await import("../frontends/lxc/bridge.js")).wantedBridge(runtimeDirectory, name),
  });
  await engine.rediscover();
  const caller: Caller = {
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    pid: process.pid,
    environment: process.env as Readonly<Record<string, string>>,
    cwd: process.cwd(),
  };
  const calls = serveLibrary(engine, lxcDocuments, caller);
  /** Hooks and what else belongs to a domain, until its end, are the daemon's, also when it is a program that starts it. */
  const startThere = async (id: ContainerId): Promise<ContainerStatus> => {
    const { connectRemote } = await import("./remote.js");
    const daemon = connectRemote(runtimeDirectory);
    try {
      const status = await daemon.start(id);
      // One that ends at once may never be seen here.
      await engine.wait(id, ["RUNNING"], sightTime).catch(() => undefined);
      return status;
    } finally {
      await daemon.close();
    }
  };
  return {
    ...calls,
    start: (id) => (hasDomain(id) ? startThere(id) : calls.start(id)),
    close: async () => {
      await calls.close();
      engine.registry.abandon();
      // The spare monitor ends by itself when its socket closes: nobody need wait for it.
      engine.close().catch(() => undefined);
    },
  };
}
