import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { cleanup, type Cleaner } from "./cleanup.js";
import { waitFor } from "./wait.js";

/**
 * A mount namespace that looks like a host with cgroup v2 alone: no v1 hierarchy is mounted, the v2 tree is at /sys/fs/cgroup. The
 * controllers stay where the kernel has them; what needs one is tested where v2 has it.
 */
export async function pureV2(t: Cleaner): Promise<number> {
  const defer = cleanup(t);
  const script = `set -e
for point in $(awk '$5 ~ "^/sys/fs/cgroup(/|$)" { print $5 }' /proc/self/mountinfo | sort -r); do umount "$point"; done
mount -t cgroup2 none /sys/fs/cgroup
exec sleep 86400`;
  const holder = spawn("unshare", ["--mount", "--propagation", "private", "sh", "-c", script], { stdio: "ignore" });
  const { pid } = holder;
  if (pid === undefined) throw new Error("unshare did not start");
  defer(() => {
    holder.kill("SIGKILL");
  });
  await waitFor("a namespace with cgroup v2 alone", () => {
    const lines = readFileSync(`/proc/${pid}/mountinfo`, "utf8").split("\n");
    const cgroups = lines.filter((line) => line.includes(" - cgroup"));
    return cgroups.length === 1 && / \/sys\/fs\/cgroup .* - cgroup2 /.test(cgroups[0] ?? "");
  });
  return pid;
}
