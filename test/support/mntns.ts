import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { cleanup, type Cleaner } from "./cleanup.js";
import { testDir } from "./paths.js";
import { waitFor } from "./wait.js";

/** A mount namespace in which /usr/sbin lacks some programs; gives back a process that lives in it. */
export async function mountNamespace(t: Cleaner, missing: readonly string[]): Promise<number> {
  const defer = cleanup(t);
  const directory = mkdtempSync(join(testDir, "islt-mntns-"));
  defer(() => {
    rmSync(directory, { recursive: true, force: true });
  });
  const script = `
set -e
mount --bind /usr/sbin "$1"
mount -t tmpfs islt-sbin /usr/sbin
for file in "$1"/*; do ln -s "$file" /usr/sbin/; done
cd /usr/sbin
rm ${missing.join(" ")}
touch "$1"-done
exec sleep 86400`;
  const holder = spawn("unshare", ["--mount", "sh", "-c", script, "sh", directory], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  const { pid } = holder;
  if (pid === undefined) throw new Error("unshare did not start");
  defer(() => {
    holder.kill("SIGKILL");
    rmSync(`${directory}-done`, { force: true });
  });
  await waitFor("a mount namespace", () => existsSync(`${directory}-done`));
  return pid;
}
