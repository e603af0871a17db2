import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  watch,
  writeFileSync,
  writeSync,
} from "node:fs";
import { setPriority } from "node:os";
import { basename, dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { errorLines } from "../base/errors.js";
import type { Caller, Command } from "../engine/engine.js";
import { type LocalEngine, createEngine } from "../engine/local.js";
import { commands, templateCommand } from "../frontends/lxc/index.js";
import { readNicGrants, userNetFile } from "../frontends/lxc/user-net.js";
import { guestDoor } from "../frontends/lxd/guest/load.js";
import { sendAudit } from "../host/audit.js";
import { createNotifier, type ListenerPaths, takeListeners } from "../host/activation.js";
import { createKeptLogs } from "../host/kept-logs.js";
import { probeHost } from "../host/probe.js";
import { runProgram } from "../host/run-program.js";
import { acceptAll, connectUnix, listenUnix } from "../host/socket.js";
import { closeFd } from "../host/addon.js";
import type { HostFacts } from "../spec/host.js";
import { hasHookNotes } from "../frontends/libvirt/beside/hook-notes.js";
import { hasDomain } from "../frontends/libvirt/driver/definitions.js";
import { isAnnotated } from "../frontends/libvirt/driver/live-docs.js";
import type { Libvirt } from "../frontends/libvirt/index.js";
import { createOwnCgroup } from "./own-cgroup.js";
import type { LoadDocuments } from "./calls.js";
import { isAutostartDue, namesIn } from "./libvirt-autostart.js";
import { createLibvirtDoor, type LibvirtConnect } from "./libvirt-door.js";
import { libvirtPaths, type LibvirtSettings, libvirtSettings, listenForLibvirt } from "./libvirt-sockets.js";
import { createSessions } from "./session.js";
import { createUserDoor, identity } from "./user-door.js";
import { createUserSessions } from "./user-session.js";

/** The one file that wires everything: isletd. It holds nothing that it cannot find again. */

/** Seconds without a client after which the daemon goes; the next command starts it again. */
const idleSeconds = 900;
/** Milliseconds that the spare monitor may take to end. */
const leaveTime = 1000;
/** SOMAXCONN of current kernels. */
const backlog = 4096;

const packageDirectory = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));

async function main(): Promise<void> {
  const runtimeDir = process.env["ISLET_RUNTIME_DIR"] ?? "/run/islet";
  process.umask(0o022);
  // Containers begin with the daemon's priority, and it must not be that of whoever happened to start the daemon.
  setPriority(0);
  mkdirSync(runtimeDir, { recursive: true, mode: 0o711 });
  mkdirSync(`${runtimeDir}/monitor`, { recursive: true, mode: 0o700 });
  chmodSync(`${runtimeDir}/monitor`, 0o700);
  const host = probeHost(runtimeDir);
  const path = `${runtimeDir}/socket`;
  const pidFile = `${runtimeDir}/daemon.pid`;
  const notify = createNotifier(host.arch, process.env);
  const userPath = `${runtimeDir}/user`;
  const settings = orLeave(() => libvirtSettings(runtimeDir, process.env));
  const libvirtPlaces = [...new Set([runtimeDir, settings.sockets ?? runtimeDir])];
  const paths: ListenerPaths = { root: path, users: userPath, libvirt: libvirtPaths(libvirtPlaces) };
  const listeners = orLeave(() => takeListeners(host.arch, process.env, paths));
  const given = listeners?.root ?? null;
  // Whoever connects to a socket that was given to us finds ourselves.
  const other = given === null ? connectUnix(host.arch, path) : null;
  if (other !== null) {
    closeFd(other);
    console.error(`another daemon serves ${path} already`);
    process.exit(1);
  }
  const cgroup = createOwnCgroup(host.cgroups, given !== null && host.busctl !== null);
  const binary = `${packageDirectory}/build/islet`;
  const isUnderTest = process.env["ISLET_TEST"] === "1";
  let libvirtMade: Promise<Libvirt> | null = null;
  const libvirt = (): Promise<Libvirt> => (libvirtMade ??= startLibvirt(engine, host, settings));
  const engine: LocalEngine = createEngine({
    host,
    binary,
    keepSpare: true,
    isUnderTest,
    usesDoors: isUnderTest && process.env["ISLET_TEST_DOORS"] === "1",
    guestDoor,
    wantedBridge: async (name) => (await import("../frontends/lxc/bridge.js")).wantedBridge(runtimeDir, name),
    nicGrants: () => Promise.resolve(readNicGrants(runtimeDir)),
    monitorGroups: () => cgroup.members(),
    definedElsewhere: async (id) => (hasDomain(id) ? (await libvirt()).definedAs(id) : null),
    company: (what) =>
      isAnnotated(what.annotations) || hasDomain(what) ? libvirt().then((frontend) => frontend.company(what)) : null,
  });
  await engine.rediscover();

  let timer: NodeJS.Timeout | null = null;
  const leave = (): void => {
    notify("STOPPING=1");
    listening.close();
    userDoor.close();
    closeLibvirt();
    // What was given to us is not ours to remove, nor what somebody has put in the place of ours.
    if (given === null && identity(path) === own) rmSync(path, { force: true });
    if (isOurs(pidFile)) rmSync(pidFile, { force: true });
    const gone = (): void => {
      cgroup.leave();
      process.exit(0);
    };
    engine.close().then(gone, gone);
    setTimeout(gone, leaveTime);
  };
  const rest = (): void => {
    if (timer !== null) clearTimeout(timer);
    timer = setTimeout(() => {
      // A service manager's daemon stays: at a halt nobody could start it again to shut the containers down. So does one that users who are
      // not root may ask: they could not start it.
      // So do libvirt's clients, once they have come, and domains: hooks and on_poweroff are heeded by the daemon.
      const isNeeded = engine.hasDuties() || userDoor.isOpen || libvirtDoor.wasUsed || libvirtMade !== null;
      if (given === null && sessions.count === 0 && !isNeeded) leave();
      else rest();
    }, idleSeconds * 1000);
    timer.unref();
  };
  const sessions = createSessions(engine, findCommand(), documents, isUnderTest, rest);
  const fd = given ?? listenUnix(host.arch, path, backlog, 0o600);
  const own = identity(path);
  const listening = acceptAll(host.arch, fd, (connection) => {
    sessions.accept(connection);
  });
  const connectLibvirt = async (): Promise<LibvirtConnect> => {
    const { server } = await libvirt();
    return (socket, peer, readOnly) => server.connect(socket, peer, readOnly);
  };
  const libvirtDoor = createLibvirtDoor(host, connectLibvirt, rest);
  const closeLibvirt = listenForLibvirt(host.arch, libvirtDoor, libvirtPlaces, listeners?.libvirt ?? new Map());
  const userSessions = createUserSessions(host, engine, "lxc-user-nic", loadUserNic);
  const isGranted = (): boolean => readNicGrants(runtimeDir).grants.length > 0;
  const userDoor = createUserDoor(host, binary, userPath, listeners?.users ?? null, isGranted, userSessions.accept);
  userDoor.look();
  watchFile(userNetFile(runtimeDir), userDoor.look);
  // Whoever reads it finds a number there, always.
  writeFileSync(`${pidFile}.new`, `${process.pid}\n`, { mode: 0o644 });
  renameSync(`${pidFile}.new`, pidFile);
  process.on("SIGTERM", leave);
  process.on("SIGINT", leave);
  process.on("SIGHUP", () => undefined);
  tellReady();
  notify("READY=1");
  cgroup.enter();
  engine.prepare();
  rest();
  rehearse(engine);
  // Their ends have consequences: hooks, on_poweroff, what is kept of them; and what a daemon before had to tell is this one's to tell.
  const runs = [...engine.registry.all()].some(({ meta }) => isAnnotated(meta.annotations));
  if (runs || hasHookNotes(runtimeDir)) await libvirt();
  if (!isAutostartDue(runtimeDir, process.env)) return;
  const domainStore = settings.store ?? (await documents()).defaultStore(ownCaller());
  if (namesIn(domainStore).some((name) => hasDomain({ storePath: domainStore, name })))
    await (await libvirt()).startAutomatic();
}

/** Containers that nobody else asks for are started on behalf of the daemon. */
const ownCaller = (): Caller => ({ uid: 0, gid: 0, pid: process.pid, environment: {}, cwd: "/" });

/** The libvirt front end, with what LXC's front end knows of containers. Loaded when somebody needs it. */
async function startLibvirt(
  engine: LocalEngine,
  host: HostFacts,
  { store, hooks, logs, lxcConf }: LibvirtSettings,
): Promise<Libvirt> {
  const { createLibvirt } = await import("../frontends/libvirt/index.js");
  const lxc = await documents();
  const { fromSpec } = await import("../frontends/lxc/config/from-spec.js");
  const { isletVersion } = await import("../frontends/lxc/commands/options.js");
  const keptLogs = logs === null ? null : createKeptLogs(logs, console.error);
  const caller = ownCaller();
  return await createLibvirt({
    engine,
    caller,
    storePath: store ?? lxc.defaultStore(caller),
    runtimeDir: host.runtimeDir,
    arch: host.arch === "arm64" ? "aarch64" : host.arch,
    lxcSpec: (id) => lxc.spec(id, caller, engine),
    lxcConfig: fromSpec,
    hooksDirectory: hooks,
    lxcConf,
    version: isletVersion,
    services: {
      appendLog:
        keptLogs === null
          ? null
          : (name, lines) => {
              keptLogs.append(name, lines);
            },
      audit: (records) => {
        sendAudit(host.arch, records);
      },
      runProgram: (file, words, input, time, dies) =>
        runProgram(host.arch, file, words, time, input, dies ? { dies: "SIGTERM" } : {}),
    },
  });
}

/** The command that there is for users who are not root. */
const loadUserNic = async (): Promise<Command> => (await import("../frontends/lxc/commands/user-nic.js")).userNic;

/** Calls back when a file may be another one. Where its directory is missing, the next daemon will see it. */
function watchFile(file: string | null, changed: () => void): void {
  if (file === null || !existsSync(dirname(file))) return;
  watch(dirname(file), { persistent: false }, (_, name) => {
    if (name === basename(file)) changed();
  }).on("error", () => undefined);
}

/** What the daemon cannot begin without; a wrong setting or socket is the end, in words. */
function orLeave<T>(find: () => T): T {
  try {
    return find();
  } catch (error) {
    for (const line of errorLines(error)) console.error(line);
    return process.exit(1);
  }
}

/** Loaded when the first program asks. */
const documents: LoadDocuments = async () => (await import("../frontends/lxc/commands/documents.js")).lxcDocuments;

/** A daemon that was started since may have written its own number there. */
function isOurs(pidFile: string): boolean {
  try {
    return readFileSync(pidFile, "utf8").trim() === String(process.pid);
  } catch {
    return false;
  }
}

/** Commands by name, each loaded once. */
function findCommand(): (name: string) => Promise<Command | null> {
  const loaded = new Map<string, Command>();
  return async (name) => {
    const known = loaded.get(name);
    if (known !== undefined) return known;
    const loader = Object.hasOwn(commands, name) ? commands[name] : await templateCommand(name);
    if (loader === undefined || loader === null) return null;
    const command = await loader();
    loaded.set(name, command);
    return command;
  };
}

/** Milliseconds after its own start at which the daemon begins to rehearse. */
const rehearsalDelay = 300;
/** As often as the compiler needs to see the code of a start before it makes it fast. */
const rehearsals = 60;

/** Plans a container that nobody wants, between other work, so that the first real start finds compiled code. */
function rehearse(engine: LocalEngine): void {
  let left = rehearsals;
  const once = async (): Promise<void> => {
    const { sampleSpec } = await import("../frontends/lxc/config/sample.js");
    await engine.rehearse(sampleSpec());
    left -= 1;
    if (left > 0) {
      setTimeout(() => {
        once().catch(() => undefined);
      }, 2).unref();
    }
  };
  setTimeout(() => {
    engine
      .load()
      .then(once)
      .catch(() => undefined);
  }, rehearsalDelay).unref();
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
