import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Bench } from "./timing.js";
import { untilTrue } from "./wait.js";

/**
 * Where Debian's libvirtd runs beside islet's daemon without the host noticing: mount, network and process namespaces of the measurement's own. What
 * either writes is in memory there, and all that runs in there ends with its first process, which ends when the benchmark does, however that ends.
 * Only control groups are the host's; the sweep of the whole run takes those.
 */
export interface LibvirtPlace {
  /** What a command in there begins with. */
  readonly within: readonly string[];
  /** By which clients find the sides: islet, and libvirt where it runs. */
  readonly uris: ReadonlyMap<PlaceSide, string>;
  /** Why there is no libvirtd; none where there is one. */
  readonly faults: readonly string[];
  readonly end: () => void;
}

export type PlaceSide = "islet" | "libvirt";

/** Where libvirtd's packages are in there. */
const programs = "/run/programs";
export const controller: string = `${programs}/usr/lib/libvirt/libvirt_lxc`;
const libvirtSocket = "/run/libvirt/libvirt-sock";

/**
 * Arguments: where libvirtd's packages are unpacked (or ""), islet's runtime directory, node, islet's daemon. libvirtd loads the LXC driver alone: the
 * others would look at the machine's devices and networks. A cgroup2 mount beside v1 has to go, with it that driver starts nothing. The shell stays, since
 * a first process has to wait for orphans, and ends with its standard input.
 */
const setUp = `set -e
mount -t tmpfs islt-run /run
mkdir -p ${programs} /run/drivers /run/var "$2" "$2/sockets"
chmod 711 "$2"
[ "$1" = "" ] || mount --bind "$1" ${programs}
mount -t tmpfs islt-var /run/var
mkdir /run/var/upper /run/var/work
mount -t overlay islt-var -o lowerdir=/var,upperdir=/run/var/upper,workdir=/run/var/work /var
[ ! -d /etc/libvirt ] || mount -t tmpfs islt-etc /etc/libvirt
! mountpoint -q /sys/fs/cgroup/unified || umount -l /sys/fs/cgroup/unified
ip link set lo up
listens() {
  for i in $(seq 100); do [ ! -S "$1" ] || return 0; sleep 0.1; done
  return 1
}
ISLET_RUNTIME_DIR="$2" ISLET_LIBVIRT_SOCKETS="$2/sockets" ISLET_LIBVIRT_STORE="$2/store" ISLET_LIBVIRT_HOOKS="$2/hooks" \\
  ISLET_LIBVIRT_LXC_CONF="$2/lxc.conf" "$3" "$4" > /run/islet.log 2>&1 < /dev/null &
if [ "$1" != "" ]; then
  ln -s ${programs}/usr/lib/*/libvirt/connection-driver/libvirt_driver_lxc.so /run/drivers
  LIBVIRT_DRIVER_DIR=/run/drivers ${programs}/usr/sbin/libvirtd > /run/libvirtd.log 2>&1 < /dev/null &
  listens ${libvirtSocket} || echo "fault libvirtd does not listen: $(tail -n 1 /run/libvirtd.log)"
fi
if listens "$2/libvirt-sock"; then echo ready; else echo "broken islet's daemon does not listen: $(tail -n 1 /run/islet.log)"; fi
cat > /dev/null`;

/** Milliseconds until all of it must have gone. */
const patience = 20_000;

export async function makeLibvirtPlace(bench: Bench): Promise<LibvirtPlace> {
  const faults: string[] = [];
  let unpacked = "";
  try {
    unpacked = bench.libvirtd();
  } catch (error) {
    faults.push(`libvirt: ${error instanceof Error ? error.message : String(error)}`);
  }
  const runtimeDir = `/run/${bench.base}`;
  const daemon = join(import.meta.dirname, "../src/daemon/main.js");
  const namespaces = [
    "--mount",
    "--propagation",
    "private",
    "--net",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
  ];
  const script = ["sh", "-c", setUp, "sh", unpacked, runtimeDir, process.execPath, daemon];
  const holder = spawn("unshare", [...namespaces, ...script], { stdio: ["pipe", "pipe", "inherit"] });
  const end = bench.guard(() => {
    // The kernel has ended all that runs in there before the first process is gone.
    const first = childrenOf(holder.pid ?? 0);
    holder.kill("SIGKILL");
    for (const pid of first) kill(pid);
    if (!untilTrue(() => first.every(hasEnded), patience)) bench.say("what ran beside libvirtd does not end");
  });
  let isReady = false;
  for await (const line of createInterface({ input: holder.stdout })) {
    if (line === "ready") {
      isReady = true;
      break;
    }
    faults.push(line.replace(/^fault /, "libvirt: ").replace(/^broken /, "islet: "));
    if (line.startsWith("broken ")) break;
  }
  if (!isReady) {
    end();
    throw new Error(`no place for libvirtd can be made: ${faults.join("; ") || "see above"}`);
  }
  const [mnt, net, pid] = ["mnt", "net", "pid_for_children"].map((kind) => `/proc/${holder.pid}/ns/${kind}`);
  const uris = new Map<PlaceSide, string>([["islet", uriOf(`${runtimeDir}/libvirt-sock`)]]);
  if (faults.length === 0) uris.set("libvirt", uriOf(libvirtSocket));
  return { within: ["nsenter", `--mount=${mnt}`, `--net=${net}`, `--pid=${pid}`, "--"], uris, faults, end };
}

/** Both are found in the same way, so that virsh does the same. */
const uriOf = (socket: string): string => `lxc+unix:///system?socket=${socket}`;

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // a process that has ended
  }
}

function childrenOf(pid: number): readonly number[] {
  return read(`/proc/${pid}/task/${pid}/children`)
    .split(" ")
    .filter((each) => each.trim() !== "")
    .map(Number);
}

/** A zombie has. */
function hasEnded(pid: number): boolean {
  const stat = read(`/proc/${pid}/stat`);
  return stat === "" || /\) [ZX] /.test(stat);
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}
