import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { cleanup, type Cleaner } from "./cleanup.js";
import { waitFor } from "./wait.js";

/**
 * A mount namespace like that of a host whose init is systemd: every mount is shared. `script`: what else is to be done in it, e.g. mounts that the
 * host of the tests does not have. Gives back the pid of a process that keeps it.
 */
export async function sharedHost(t: Cleaner, script: string = ""): Promise<number> {
  const defer = cleanup(t);
  const lines = `set -e\n${script}\nmount --make-rshared /\nexec sleep 86400`;
  const holder = spawn("unshare", ["--mount", "--propagation", "private", "sh", "-c", lines], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  const { pid } = holder;
  if (pid === undefined) throw new Error("unshare did not start");
  defer(() => {
    holder.kill("SIGKILL");
  });
  await waitFor("a namespace whose mounts are shared", () =>
    /^\S+ \S+ \S+ \S+ \/ \S+ shared:/m.test(readFileSync(`/proc/${pid}/mountinfo`, "utf8")),
  );
  return pid;
}
