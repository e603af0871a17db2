import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { syscall } from "../host/addon.js";
import { linksOfDescriptor, ownLink, ownLinks } from "../host/netns.js";
import { planInterfaceOut } from "../plan/nic/hotplug.js";
import { otherIndex } from "../plan/nic/phys.js";
import { helperOutcome, runHelper } from "../runtime/helper.js";
import { networkPin } from "../runtime/monitors.js";
import type { HostFacts } from "../spec/host.js";
import type { ContainerSpec } from "../spec/spec.js";
import { cString } from "../sys/bytes.js";
import { MNT_DETACH, UMOUNT_NOFOLLOW } from "../sys/flags.js";
import type { LinkInfo } from "../sys/netlink-parse.js";
import { requireSyscall } from "../sys/syscalls.js";
import type { ContainerId } from "./engine.js";

/**
 * Interfaces of the host's that a container has (lxc.net.N.type = phys). Its monitor takes them back; where it cannot, since it was killed or
 * the guest had put one into a network namespace of its own, that is done here. What has to come back is written down below the
 * runtime directory before it goes, and a mount there holds the namespace that it is in (src/plan/nic/pin.ts).
 */
export interface PhysReturn {
  /** Writes down what the container is about to get. */
  note(spec: ContainerSpec): void;
  /** Takes back what a container that does not run still has. Never fails: what does not come back is told in the daemon's log. */
  restore(id: ContainerId): Promise<void>;
  /** Containers of which something is written down. */
  noted(): readonly ContainerId[];
}

interface Away {
  /** Its name on the host. */
  readonly link: string;
  readonly index: number;
  readonly kind: string | null;
}

interface Note extends ContainerId {
  readonly version: 1;
  readonly away: readonly Away[];
}

/** Milliseconds that the helper has for one interface. */
const patience = 5000;
/** Milliseconds that the kernel may need to clear a network namespace away, and between two looks. */
const clearTime = 3000;
const pause = 50;

/** `binary`: of islet. */
export function createPhysReturn(host: HostFacts, binary: string): PhysReturn {
  const directory = `${host.runtimeDir}/phys`;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const pinOf = (id: ContainerId): string => networkPin(host.runtimeDir, id.storePath, id.name);

  /** From the network namespace of the descriptor. */
  const takeOut = async (fd: number, from: string, to: string): Promise<void> => {
    const program = planInterfaceOut(from, to, host);
    const result = await runHelper(host.arch, binary, program, [fd], patience);
    helperOutcome(program, result, () => new Error(`the helper that was to bring ${to} back was killed`));
  };

  /** From the namespace that the mount holds, which is then let go. */
  const fromPin = async (pin: string, away: readonly Away[]): Promise<void> => {
    const fd = openSync(pin, "r");
    try {
      const there = linksOfDescriptor(host.arch, fd) ?? [];
      for (const one of away) {
        // It may never have left.
        const found = ownLink(host.arch, one.link) === null ? there.find((link) => isThat(link, one)) : undefined;
        if (found !== undefined) await takeOut(fd, found.name, one.link);
      }
    } finally {
      closeSync(fd);
    }
    syscall(requireSyscall(host.arch, "umount2"), [cString(pin), MNT_DETACH | UMOUNT_NOFOLLOW]);
    rmSync(pin, { force: true });
  };

  /** Real interfaces come to the host when the kernel clears their namespace away, under the name that they have by then. */
  const fromKernel = async (name: string, one: Away): Promise<void> => {
    for (let waited = 0; ownLink(host.arch, one.link) === null; waited += pause) {
      const found = ownLinks(host.arch).find((link) => isThat(link, one));
      if (found !== undefined) {
        const fd = openSync("/proc/self/ns/net", "r");
        try {
          await takeOut(fd, found.name, one.link);
        } finally {
          closeSync(fd);
        }
        return;
      }
      if (waited >= clearTime) {
        console.error(`${one.link} has not come back from ${name}: its guest had moved it, or it is gone`);
        return;
      }
      await sleep(pause);
    }
  };

  return {
    note(spec) {
      if (spec.network.kind !== "own") return;
      const away = spec.network.nics.flatMap((nic): readonly Away[] => {
        const found = nic.type === "phys" ? ownLink(host.arch, nic.link) : null;
        // What is not there is told when it is to be moved.
        return found === null ? [] : [{ link: found.name, index: found.index, kind: found.kind }];
      });
      if (away.length === 0) return;
      const note: Note = { version: 1, storePath: spec.storePath, name: spec.name, away };
      writeFileSync(`${pinOf(spec)}.json`, JSON.stringify(note), { mode: 0o600 });
    },
    async restore(id) {
      const pin = pinOf(id);
      const note = readNote(`${pin}.json`);
      if (note === null) return;
      try {
        if (existsSync(pin)) await fromPin(pin, note.away);
        for (const one of note.away) await fromKernel(id.name, one);
        rmSync(`${pin}.json`, { force: true });
      } catch (error) {
        console.error(`cannot bring back what ${id.name} has of the host's interfaces`, error);
      }
    },
    noted: () =>
      readdirSync(directory).flatMap((file) => {
        const note = file.endsWith(".json") ? readNote(`${directory}/${file}`) : null;
        return note === null ? [] : [note];
      }),
  };
}

/** A guest can give it another name, and its name to another one. */
function isThat({ index, kind }: LinkInfo, one: Away): boolean {
  return kind === one.kind && (index === one.index || index === one.index + otherIndex);
}

function readNote(path: string): Note | null {
  // Of nearly all containers there is none.
  if (!existsSync(path)) return null;
  try {
    const note = JSON.parse(readFileSync(path, "utf8")) as Note;
    return note.version === 1 ? note : null;
  } catch {
    return null;
  }
}
