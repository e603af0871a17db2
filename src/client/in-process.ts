import { chmodSync, mkdirSync } from "node:fs";
import type { Caller } from "../engine/engine.js";
import { type LibraryCalls, serveLibrary } from "../engine/library.js";
import { createEngine } from "../engine/local.js";
import { lxcDocuments } from "../frontends/lxc/commands/documents.js";
import { guestDoor } from "../frontends/lxd/guest/load.js";
import { probeHost } from "../host/probe.js";
import { binary } from "./paths.js";

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
  return {
    ...calls,
    close: async () => {
      await calls.close();
      engine.registry.abandon();
      // The spare monitor ends by itself when its socket closes: nobody need wait for it.
      engine.close().catch(() => undefined);
    },
  };
}
