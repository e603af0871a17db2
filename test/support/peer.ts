import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { cleanup, type Cleaner } from "./cleanup.js";
import { command, ok, type CommandOptions, type CommandResult } from "./command.js";
import { picture, sweepLxc } from "./host.js";
import { testDir } from "./paths.js";
import type { Store } from "./store.js";

/** A store that Debian's own lxc works on, and its commands. Ask `lacks(t, "lxc")` first. */
export interface PeerStore extends Store {
  /** `lxc-start`, ... as /usr/bin/lxc-start. */
  readonly command: (argv: readonly string[], options?: CommandOptions) => Promise<CommandResult>;
  readonly ok: (argv: readonly string[], options?: CommandOptions) => Promise<string>;
}

/** At the end of the test its containers are killed, and what Debian's lxc leaves by itself (cgroups, lock files) is removed. */
export function peerStore(t: Cleaner): PeerStore {
  const path = mkdtempSync(join(testDir, "islt-peer-"));
  const before = picture();
  const debian = ([name = "", ...args]: readonly string[]): readonly string[] => [
    name.startsWith("lxc-") ? `/usr/bin/${name}` : name,
    ...args,
  ];
  cleanup(t)(async () => {
    const names = readdirSync(path);
    for (const name of names) await command(["/usr/bin/lxc-stop", "-P", path, "-n", name, "-k"]);
    sweepLxc(before, { names, stores: [path] });
    rmSync(path, { recursive: true, force: true });
  });
  return {
    path,
    at: (name) => ["-P", path, "-n", name],
    command: (argv, options) => command(debian(argv), options),
    ok: (argv, options) => ok(debian(argv), options),
  };
}
