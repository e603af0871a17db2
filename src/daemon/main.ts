import { closeSync, mkdirSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { createEngine } from "../engine/local.js";
import { commands } from "../frontends/lxc/index.js";
import { probeHost } from "../host/probe.js";
import { acceptAll, connectUnix, listenUnix } from "../host/socket.js";
import { closeFd } from "../host/addon.js";
import { createOwnCgroup } from "./own-cgroup.js";
import { createSessions } from "./session.js";

/** The one file that wires everything: isletd. It holds nothing that it cannot find again. */

/** Seconds without a client after which the daemon goes; the next command starts it again. */
const idleSeconds = 900;
/** SOMAXCONN of current kernels. */
const backlog = 4096;

const packageDirectory = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));

async function main(): Promise<void> {
  const runtimeDir = process.env["ISLET_RUNTIME_DIR"] ?? "/run/islet";
  process.umask(0o022);
  mkdirSync(`${runtimeDir}/monitor`, { recursive: true, mode: 0o711 });
  const host = probeHost(runtimeDir);
  const path = `${runtimeDir}/socket`;
  const other = connectUnix(host.arch, path);
  if (other !== null) {
    closeFd(other);
    console.error(`another daemon serves ${path} already`);
    process.exit(1);
  }
  const engine = createEngine({ host, binary: `${packageDirectory}/build/islet`, keepSpare: true });
  await engine.rediscover();
  const cgroup = createOwnCgroup(host.cgroups);

  let timer: NodeJS.Timeout | null = null;
  const leave = (): void => {
    listening.close();
    rmSync(path, { force: true });
    rmSync(`${runtimeDir}/daemon.pid`, { force: true });
    engine.close();
    cgroup.leave();
    process.exit(0);
  };
  const rest = (): void => {
    if (timer !== null) clearTimeout(timer);
    timer = setTimeout(() => {
      if (sessions.count === 0 && !engine.hasDuties()) leave();
      else rest();
    }, idleSeconds * 1000);
    timer.unref();
  };
  const sessions = createSessions(engine, async (name) => {
    const loader = commands[name];
    return loader === undefined ? null : await loader();
  }, rest);
  const fd = listenUnix(host.arch, path, backlog);
  const listening = acceptAll(host.arch, fd, (connection) => {
    sessions.accept(connection);
  });
  writeFileSync(`${runtimeDir}/daemon.pid`, `${process.pid}\n`, { mode: 0o644 });
  process.on("SIGTERM", leave);
  process.on("SIGINT", leave);
  process.on("SIGHUP", () => undefined);
  tellReady();
  cgroup.enter();
  engine.prepare();
  rest();
}

/** Whoever started us waits for a byte. */
function tellReady(): void {
  const ready = Number(process.env["ISLET_READY_FD"] ?? "");
  if (!Number.isInteger(ready) || ready < 3) return;
  try {
    writeSync(ready, "1");
    closeSync(ready);
  } catch {
    // Nobody waits any more.
  }
}

await main();
