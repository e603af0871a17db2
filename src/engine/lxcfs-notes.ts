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
  /** Paths that a guest is owed; `life`: of its main process, another one is owed nothing. */
  owed(guest: string, life: string): readonly string[];
  owe(guest: string, life: string, paths: readonly string[]): void;
  forget(guest: string): void;
}

interface Owed {
  readonly life: string;
  readonly paths: readonly string[];
}

interface Content {
  readonly version: 1;
  readonly devices: readonly string[];
  readonly owed: Readonly<Record<string, Owed>>;
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
    owed(guest, life): readonly string[] {
      const found = owed.get(guest);
      return found?.life === life ? found.paths : [];
    },
    owe(guest, life, paths): void {
      if (paths.length === 0) {
        this.forget(guest);
        return;
      }
      owed.set(guest, { life, paths });
      save();
    },
    forget(guest): void {
      if (owed.delete(guest)) save();
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
