import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { Decoder } from "../base/decode.js";
import { nameProblem } from "../spec/name.js";
import type { StorageHost } from "../storage/driver.js";
import type { ContainerId } from "./engine.js";

/** What a daemon writes down of containers below the runtime directory, a file for each, so that the next one knows what it has to do if this one is killed. */
export interface RunNotes<N extends ContainerId> {
  write(host: StorageHost, note: N): void;
  forget(host: StorageHost, id: ContainerId): void;
  /** null: there is none of that container, or none that could be read. */
  read(host: StorageHost, id: ContainerId): N | null;
  all(host: StorageHost): readonly N[];
}

/** `name`: of the directory. */
export function runNotes<N extends ContainerId>(name: string, decode: Decoder<N>): RunNotes<N> {
  const directoryOf = (host: StorageHost): string => `${host.runtimeDir}/${name}`;
  const fileOf = (host: StorageHost, id: ContainerId): string => {
    const hash = createHash("sha256").update(`${id.storePath}/${id.name}`).digest("hex").slice(0, 32);
    return `${directoryOf(host)}/${hash}`;
  };
  const readFile = (file: string): N | null => {
    try {
      const note = decode(JSON.parse(readFileSync(file, "utf8")), "");
      return nameProblem(note.name) === null && note.storePath.startsWith("/") ? note : null;
    } catch {
      return null;
    }
  };
  return {
    write: (host, note) => {
      mkdirSync(directoryOf(host), { recursive: true, mode: 0o700 });
      writeFileSync(fileOf(host, note), JSON.stringify(note), { mode: 0o600 });
    },
    forget: (host, id) => {
      rmSync(fileOf(host, id), { force: true });
    },
    read: (host, id) => readFile(fileOf(host, id)),
    all: (host) => {
      let files: readonly string[];
      try {
        files = readdirSync(directoryOf(host));
      } catch {
        // Nothing has ever been written down.
        return [];
      }
      return files.flatMap((file) => readFile(`${directoryOf(host)}/${file}`) ?? []);
    },
  };
}
