import { spawn } from "node:child_process";
import { cleanup, type Cleaner } from "./cleanup.js";

/**
 * A mount namespace like that of a host whose init is systemd: every mount is shared. `script`: what else is to be done in it, e.g. mounts that the
 * host of the tests does not have. Gives back the pid of a process that keeps it.
 */
export async function sharedHost(t: Cleaner, script: string = ""): Promise<number> {
  const defer = cleanup(t);
  const lines = `set -e\n${script}\nmount --make-rshared /\necho ready\nexec sleep 86400 > /dev/null`;
  const holder = spawn("unshare", ["--mount", "--propagation", "private", "sh", "-c", lines], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const { pid } = holder;
  if (pid === undefined) throw new Error("unshare did not start");
  defer(() => {
    holder.kill("SIGKILL");
  });
  // The last word, or the end of a script that failed.
  const said = await new Promise<string>((resolve) => {
    holder.stdout.once("data", (data: Buffer) => {
      resolve(data.toString());
    });
    holder.once("close", () => {
      resolve("");
    });
  });
  if (said !== "ready\n") throw new Error(`the host's mounts could not be made${said === "" ? "" : `: ${said}`}`);
  return pid;
}
