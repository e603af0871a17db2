import { type FSWatcher, readFileSync, realpathSync, statSync, watch, writeFileSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import { withHostEntries } from "../network/hosts-file.js";
import { hostEntries, type HostedBridge } from "./bridge-hosts.js";
import { isErrno } from "../base/io-error.js";
import { writeWhole } from "./store.js";

/** Names of the containers on bridges in the host's own hosts(5), for those bridges whose administrator asked for it. */
export interface HostNames {
  /** Writes down what is there, a moment later, and goes on to whenever dnsmasq gives an address. */
  keep(bridge: HostedBridge): void;
  /** Takes them away. */
  drop(bridge: HostedBridge): void;
  /** Goes no longer on; what is written stays. */
  close(): void;
}

/** Milliseconds after a change until it is written down: there may be more, and dnsmasq may be in the middle of writing its leases. */
const settleTime = 50;

/** `file`: null: nobody is told. */
export function createHostNames(file: string | null): HostNames {
  const watched = new Map<string, FSWatcher>();
  const timers = new Map<string, NodeJS.Timeout>();

  const write = (bridge: HostedBridge, isWanted: boolean): void => {
    if (file === null) return;
    const { name, domain } = bridge.network;
    const before = read(file);
    const after = withHostEntries(before, name, domain, isWanted ? hostEntries(bridge) : []);
    if (after === before) return;
    replace(file, after);
    // dnsmasq reads that file, too, and a name of it is nobody else's.
    bridge.reread();
  };
  const tryWrite = (bridge: HostedBridge): void => {
    try {
      write(bridge, true);
    } catch (error) {
      console.error(`cannot write the names of containers on ${bridge.network.name}`, error);
    }
  };
  const later = (bridge: HostedBridge): void => {
    const { name } = bridge.network;
    if (timers.has(name)) return;
    const timer = setTimeout(() => {
      timers.delete(name);
      tryWrite(bridge);
    }, settleTime);
    timer.unref();
    timers.set(name, timer);
  };
  const unwatch = (name: string): void => {
    watched.get(name)?.close();
    watched.delete(name);
    clearTimeout(timers.get(name));
    timers.delete(name);
  };

  const follow = (bridge: HostedBridge): void => {
    const { name } = bridge.network;
    try {
      const watcher = watch(bridge.files.leases, { persistent: false }, () => {
        later(bridge);
      });
      watcher.on("error", () => {
        unwatch(name);
      });
      watched.set(name, watcher);
    } catch (error) {
      // No dnsmasq has run there yet: the next `keep` is for when one does.
      if (!isErrno(error, "ENOENT")) throw error;
    }
  };

  return {
    keep(bridge) {
      const { name } = bridge.network;
      if (!watched.has(name)) follow(bridge);
      later(bridge);
    },
    drop(bridge) {
      unwatch(bridge.network.name);
      write(bridge, false);
    },
    close() {
      for (const name of watched.keys()) unwatch(name);
    },
  };
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return "";
    throw error;
  }
}

function replace(file: string, text: string): void {
  let path = file;
  let mode = 0o644;
  try {
    path = realpathSync(file);
    mode = statSync(path).mode & 0o777;
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
  try {
    writeWhole(path, text, mode);
  } catch (error) {
    // A mount on the file itself, as in containers, cannot be renamed over. On a full disk what is there must stay.
    if (!(error instanceof IsletError) || error.errno !== "EBUSY") throw error;
    writeFileSync(path, text);
  }
}
