import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect, type Container, IsletError, type RunningContainer, type StoppedContainer } from "../../src/index.js";
import { cleanup, type Cleaner } from "../support/cleanup.js";
import type { CommandResult } from "../support/command.js";
import { busyboxRootfs } from "../support/store.js";
import { type VirshPlace, virshPlace } from "../support/virsh.js";
import { waitFor } from "../support/wait.js";

/**
 * The front doors, each with the same few words: what is asked through one of them must be true through all. A door is used as its people use it: LXC's commands
 * and virsh are programs, the library is imported.
 */
export interface Door {
  readonly name: "lxc" | "libvirt" | "library";
  /** A container of this door's own, around a root file system that is there. */
  readonly make: (name: string, rootfs: string) => Promise<void>;
  readonly remove: (name: string) => Promise<Answer>;
  readonly start: (name: string) => Promise<Answer>;
  /** Asks it to end, and waits until it has. */
  readonly stop: (name: string) => Promise<Answer>;
  readonly kill: (name: string) => Promise<Answer>;
  readonly freeze: (name: string) => Promise<Answer>;
  readonly unfreeze: (name: string) => Promise<Answer>;
  /** Asks it to begin anew; it may still be about to when this is over. */
  readonly reboot: (name: string) => Promise<Answer>;
  /** What a command in it prints. */
  readonly output: (name: string, ...argv: readonly string[]) => Promise<string>;
  /** Its share of processor time (cpu.shares), until it ends. */
  readonly setShares: (name: string, shares: number) => Promise<Answer>;
  readonly shares: (name: string) => Promise<number>;
  /** Of all containers, by name. */
  readonly seen: () => Promise<Readonly<Record<string, Seen>>>;
  /** Resolves when it has ended, whoever ends it. Resolves with what the caller then waits for: by then the door watches. */
  readonly watchEnd: (name: string) => Promise<{ readonly ended: Promise<void> }>;
}

/** What a door says to a request. What is none of these fails the test, in the door's words. */
export type Answer = "done" | "there is none" | "it runs" | "it does not run" | "not mine";

export interface Seen {
  readonly state: "STOPPED" | "RUNNING" | "FROZEN";
  /** Of its main process; null: it does not run. */
  readonly pid: number | null;
}

/** What a refusal means, in the words of one door. */
type Words = readonly (readonly [RegExp, Answer])[];

function answerOf(words: Words, { status, stdout, stderr }: CommandResult, asked: string): Answer {
  if (status === 0) return "done";
  const said = words.find(([pattern]) => pattern.test(stderr));
  if (said === undefined) throw new Error(`${asked}: status ${status}\n${stdout}${stderr}`);
  return said[1];
}

/** One daemon, and all doors to it. */
export interface House {
  readonly doors: readonly Door[];
  /** A root file system of busybox whose init ends when it is asked to halt, and reboots when it is asked to. */
  readonly rootfs: (name: string) => string;
}

/** Signals of LXC, of libvirt and of sysvinit. */
const init = `#!/bin/sh
trap 'exit 0' TERM PWR
trap 'reboot -f' HUP INT
while :; do sleep 3600 & wait; done
`;

export async function openHouse(t: Cleaner): Promise<House> {
  const place = await virshPlace(t);
  const above = join(place.own.store.path, "..");
  return {
    doors: [lxcDoor(place), libvirtDoor(t, place), await libraryDoor(t, place)],
    rootfs: (name) => {
      const rootfs = join(above, `root-${name}`);
      mkdirSync(rootfs);
      busyboxRootfs(rootfs);
      writeFileSync(join(rootfs, "islt-init"), init, { mode: 0o755 });
      return rootfs;
    },
  };
}

const lxcWords: Words = [
  [/No container config specified|Container is not defined/, "there is none"],
  [/is already running/, "it runs"],
  [/is not running/, "it does not run"],
];

function lxcDoor({ own }: VirshPlace): Door {
  const ask =
    (tool: string, ...words: readonly string[]) =>
    async (name: string): Promise<Answer> =>
      answerOf(lxcWords, await own.command([tool, ...own.store.at(name), ...words]), `${tool} ${name}`);
  return {
    name: "lxc",
    make: async (name, rootfs) => {
      const file = join(rootfs, "..", `${name}.conf`);
      writeFileSync(
        file,
        `lxc.rootfs.path = dir:${rootfs}\nlxc.rootfs.managed = 0\nlxc.uts.name = ${name}\nlxc.net.0.type = empty\nlxc.init.cmd = /islt-init\n`,
      );
      await own.ok(["lxc-create", ...own.store.at(name), "-t", "none", "-f", file]);
    },
    remove: ask("lxc-destroy"),
    // LXC's start of what runs is no failure.
    start: async (name) => {
      const result = await own.command(["lxc-start", ...own.store.at(name)]);
      return answerOf(lxcWords, { ...result, status: result.stderr === "" ? result.status : 1 }, `lxc-start ${name}`);
    },
    stop: ask("lxc-stop"),
    kill: ask("lxc-stop", "-k"),
    freeze: ask("lxc-freeze"),
    unfreeze: ask("lxc-unfreeze"),
    reboot: ask("lxc-stop", "-r", "-W"),
    output: (name, ...argv) => own.ok(["lxc-attach", ...own.store.at(name), "--", ...argv]),
    setShares: (name, shares) => ask("lxc-cgroup", "cpu.shares", String(shares))(name),
    shares: async (name) => Number(await own.ok(["lxc-cgroup", ...own.store.at(name), "cpu.shares"])),
    seen: async () => {
      const columns = ["-F", "NAME,STATE,PID"];
      const lines = (await own.ok(["lxc-ls", "-P", own.store.path, "-f", ...columns])).trim().split("\n").slice(1);
      return Object.fromEntries(
        lines.map((line) => {
          const [name = "", state = "", pid = "-"] = line.trim().split(/ +/);
          return [name, { state: state as Seen["state"], pid: pid === "-" ? null : Number(pid) }];
        }),
      );
    },
    watchEnd: (name) => {
      const ended = own.ok(["lxc-wait", ...own.store.at(name), "-s", "STOPPED"]).then(() => undefined);
      return Promise.resolve({ ended });
    },
  };
}

const virshWords: Words = [
  [/failed to get domain/, "there is none"],
  [/Domain is already active/, "it runs"],
  [/domain is not running/, "it does not run"],
  [/was made by lxc-create/, "not mine"],
];

function libvirtDoor(t: Cleaner, place: VirshPlace): Door {
  const defer = cleanup(t);
  const { virsh, ok } = place;
  const ask =
    (verb: string, ...words: readonly string[]) =>
    async (name: string): Promise<Answer> =>
      answerOf(virshWords, await virsh([verb, name, ...words]), `virsh ${verb} ${name}`);
  return {
    name: "libvirt",
    make: async (name, rootfs) => {
      const file = join(rootfs, "..", `${name}.xml`);
      writeFileSync(
        file,
        `<domain type='lxc'><name>${name}</name><memory unit='MiB'>256</memory><os><type>exe</type><init>/islt-init</init></os>
<features><privnet/></features>
<devices><filesystem type='mount'><source dir='${rootfs}'/><target dir='/'/></filesystem><console type='pty'/></devices></domain>`,
      );
      await ok("define", file);
    },
    remove: ask("undefine"),
    start: ask("start"),
    stop: ask("shutdown"),
    kill: ask("destroy"),
    freeze: ask("suspend"),
    unfreeze: ask("resume"),
    reboot: ask("reboot"),
    output: (name, ...argv) => ok("-q", "lxc-enter-namespace", name, "--noseclabel", "--", ...argv),
    setShares: (name, shares) => ask("schedinfo", "--live", "--set", `cpu_shares=${shares}`)(name),
    shares: async (name) => Number(/^cpu_shares *: *(\d+)$/m.exec(await ok("schedinfo", name))?.[1]),
    seen: async () => {
      const lines = (await ok("-q", "list", "--all")).split("\n").filter((line) => line.trim() !== "");
      const states = { running: "RUNNING", paused: "FROZEN", "shut off": "STOPPED" } as const;
      return Object.fromEntries(
        lines.map((line) => {
          const [, id = "-", name = "", word = ""] = /^ *(\S+) +(\S+) +(\S.*?) *$/.exec(line) ?? [];
          const state = states[word as keyof typeof states];
          return [name, { state, pid: id === "-" ? null : Number(id) }];
        }),
      );
    },
    watchEnd: async (name) => {
      const events = ["event", "--event", "lifecycle", "--domain", name, "--loop"];
      const [program = "", ...words] = [...place.within, "virsh", "-c", "lxc:///system", ...events];
      const watcher = spawn(program, words, { stdio: ["ignore", "pipe", "ignore"] });
      defer(() => {
        watcher.kill("SIGKILL");
      });
      let said = "";
      const ended = new Promise<void>((resolve) => {
        watcher.stdout.setEncoding("utf8").on("data", (text: string) => {
          said += text;
          if (/ Stopped /.test(said)) resolve();
        });
      });
      // It does not say when it has begun to watch: it has when it tells of something.
      await waitFor("virsh to see events", async () => {
        await ok("suspend", name);
        await ok("resume", name);
        return / Resumed /.test(said);
      });
      return { ended };
    },
  };
}

const codes: Readonly<Record<string, Answer>> = {
  ISLET_NOT_FOUND: "there is none",
  ISLET_RUNNING: "it runs",
  ISLET_NOT_RUNNING: "it does not run",
};

async function libraryDoor(t: Cleaner, { own }: VirshPlace): Promise<Door> {
  const islet = await connect({ runtimeDirectory: own.runtimeDir, store: own.store.path });
  cleanup(t)(() => islet.close());
  /** A program has what it got when the state was another one: its types keep it from asking for what cannot be only as long as nobody else is at it. */
  const kept = new Map<string, Partial<Record<Container["state"], Container>>>();
  const held = async <S extends Container["state"]>(
    name: string,
    ...states: readonly S[]
  ): Promise<Container & { readonly state: S }> => {
    const now = await islet.get(name);
    const all = { ...kept.get(name), [now.state]: now };
    kept.set(name, all);
    const found = [now, ...Object.values(all)].find((each): each is Container & { readonly state: S } =>
      states.some((state) => state === each.state),
    );
    if (found === undefined) throw new Error(`${name} was never ${states.join(" or ")}: it is ${now.state}`);
    return found;
  };
  const answer = async (request: Promise<unknown>): Promise<Answer> => {
    try {
      await request;
      return "done";
    } catch (error) {
      const known = error instanceof IsletError ? codes[error.code] : undefined;
      if (known === undefined) throw error;
      return known;
    }
  };
  const stopped = (name: string): Promise<StoppedContainer> => held(name, "STOPPED");
  const running = (name: string): Promise<RunningContainer> => held(name, "RUNNING");
  return {
    name: "library",
    make: async (name, rootfs) => {
      await islet.create(name, {
        rootfs,
        config: { "lxc.uts.name": name, "lxc.net.0.type": "empty", "lxc.init.cmd": "/islt-init" },
      });
    },
    remove: (name) => answer(stopped(name).then((container) => container.destroy())),
    start: (name) => answer(stopped(name).then((container) => container.start())),
    stop: (name) => answer(held(name, "RUNNING", "FROZEN").then((container) => container.stop())),
    kill: (name) => answer(held(name, "RUNNING", "FROZEN").then((container) => container.stop({ kill: true }))),
    freeze: (name) => answer(running(name).then((container) => container.freeze())),
    unfreeze: (name) => answer(held(name, "FROZEN").then((container) => container.unfreeze())),
    reboot: (name) => answer(running(name).then((container) => container.reboot())),
    output: async (name, ...argv) => (await (await running(name)).exec(argv)).stdout,
    setShares: (name, shares) => answer(running(name).then((container) => container.setCgroup("cpu.shares", shares))),
    shares: async (name) => Number(await (await running(name)).cgroup("cpu.shares")),
    seen: async () => {
      const all = await islet.list();
      // Whoever lists them gets hold of them, too.
      for (const { name } of all) await held(name, "STOPPED", "RUNNING", "FROZEN");
      return Object.fromEntries(
        all.map(({ name, state, initPid }) => [name, { state: state as Seen["state"], pid: initPid }]),
      );
    },
    watchEnd: async (name) => {
      const container = await running(name);
      return { ended: container.wait("STOPPED").then(() => undefined) };
    },
  };
}
