import { readFileSync, renameSync, writeFileSync } from "node:fs";

/**
 * What cannot be found again after a daemon has been killed: which file systems were the host's LXCFS (a guest may run one itself), and which
 * files were taken out of which guest, to come back with the next LXCFS. In a file below the runtime directory, gone with the guests at a boot.
 */
export interface LxcfsNotes {
  /** Device numbers, major:minor. */
  devices(): ReadonlySet<string>;
  addDevice(device: string): void;
  /** Others are forgotten: the kernel gives their numbers to new file systems. */
  keepDevices(wanted: ReadonlySet<string>): void;
  /** Paths that a guest is owed: also after a reboot, which finds no LXCFS either. */
  owed(guest: string): readonly string[];
  owe(guest: string, paths: readonly string[]): void;
  /** Others have ended. */
  keepGuests(running: ReadonlySet<string>): void;
}

interface Content {
  readonly version: 1;
  readonly devices: readonly string[];
  readonly owed: Readonly<Record<string, readonly string[]>>;
}

export function createLxcfsNotes(file: string): LxcfsNotes {
  const first = read(file);
  let devices: ReadonlySet<string> = new Set(first.devices);
  const owed = new Map(Object.entries(first.owed));

  const save = (): void => {
    const content: Content = { version: 1, devices: [...devices], owed: Object.fromEntries(owed) };
    try {
      writeFileSync(`${file}.new`, JSON.stringify(content), { mode: 0o600 });
      renameSync(`${file}.new`, file);
    } catch (error) {
      console.error(`cannot write ${file}`, error);
    }
  };

  return {
    devices: () => devices,
    addDevice(device): void {
      if (devices.has(device)) return;
      devices = new Set([...devices, device]);
      save();
    },
    keepDevices(wanted): void {
      const kept = new Set([...devices].filter((device) => wanted.has(device)));
      if (kept.size === devices.size) return;
      devices = kept;
      save();
    },
    owed: (guest) => owed.get(guest) ?? [],
    owe(guest, paths): void {
      if (paths.length === 0 && !owed.has(guest)) return;
      if (paths.length === 0) owed.delete(guest);
      else owed.set(guest, paths);
      save();
    },
    keepGuests(running): void {
      const gone = [...owed.keys()].filter((guest) => !running.has(guest));
      for (const guest of gone) owed.delete(guest);
      if (gone.length > 0) save();
    },
  };
}

const nothing: Content = { version: 1, devices: [], owed: {} };

/** What cannot be read is as if it were not there: guests are then mended at LXCFS's next change. */
function read(file: string): Content {
  try {
    const value = JSON.parse(readFileSync(file, "utf8")) as Partial<Content> | null;
    return value?.version === 1 && Array.isArray(value.devices) && typeof value.owed === "object"
      ? { version: 1, devices: value.devices, owed: value.owed }
      : nothing;
  } catch {
    return nothing;
  }
}
