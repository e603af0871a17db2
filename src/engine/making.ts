import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { type Decoder, record, text } from "../base/decode.js";
import { nameProblem } from "../spec/name.js";
import type { StorageHost } from "../storage/driver.js";
import type { ContainerId } from "./engine.js";

/**
 * Which containers are being made, below the runtime directory: what a daemon that was killed has left of them is removed by the next one at once, not only when
 * somebody asks for that name.
 */

const decode: Decoder<ContainerId> = record<ContainerId>({ storePath: text, name: text });

const directoryOf = (host: StorageHost): string => `${host.runtimeDir}/making`;

/** Gives back what takes the note away. */
export function noteMaking(host: StorageHost, { storePath, name }: ContainerId): () => void {
  const directory = directoryOf(host);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const file = `${directory}/${createHash("sha256").update(`${storePath}/${name}`).digest("hex").slice(0, 32)}`;
  writeFileSync(file, JSON.stringify({ storePath, name }), { mode: 0o600 });
  return () => {
    rmSync(file, { force: true });
  };
}

/** `settle`: removes what was left half-made of one. What cannot be removed is told, and tried again by the next daemon. */
export async function settleMaking(host: StorageHost, settle: (id: ContainerId) => Promise<void>): Promise<void> {
  let files: readonly string[];
  try {
    files = readdirSync(directoryOf(host)).map((file) => `${directoryOf(host)}/${file}`);
  } catch {
    // Nothing has ever been made.
    return;
  }
  for (const file of files) {
    try {
      const id = decode(JSON.parse(readFileSync(file, "utf8")), "");
      if (nameProblem(id.name) === null && id.storePath.startsWith("/")) await settle(id);
      rmSync(file, { force: true });
    } catch (error) {
      console.error(`cannot remove what a killed daemon has left of a container (${file})`, error);
    }
  }
}
