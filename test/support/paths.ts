import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The checkout. Compiled helpers live in dist/test/support/. */
export const root: string = join(import.meta.dirname, "../../..");

export function bin(name: string): string {
  return join(root, "bin", name);
}

function ownTestDir(): string {
  const dir = mkdtempSync(join(tmpdir(), "islt-run-"));
  chmodSync(dir, 0o711);
  mkdirSync(join(dir, "run"), { mode: 0o711 });
  process.on("exit", () => {
    rmSync(dir, { recursive: true, force: true });
  });
  return dir;
}

/** Everything a test writes goes below this; the runner makes it and looks that it is empty at the end. Run alone, a file makes its own. */
export const testDir: string = process.env["ISLET_TEST_DIR"] ?? ownTestDir();

/** Where the daemon of this run has its sockets; never /run/islet. */
export const runtimeDir: string = process.env["ISLET_RUNTIME_DIR"] ?? join(testDir, "run");
