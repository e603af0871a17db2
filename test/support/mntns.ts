import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { cleanup, type Cleaner } from "./cleanup.js";
import { testDir } from "./paths.js";
import { waitFor } from "./wait.js";

/** A mount namespace in which /usr/sbin lacks some programs; gives back a process that lives in it. */
export async function mountNamespace(t: Cleaner, missing: readonly string[]): Promise<number> {
  return await preparedMounts(
    t,
    `mount --bind /usr/sbin "$1"
mount -t tmpfs islt-sbin /usr/sbin
for file in "$1"/*; do ln -s "$file" /usr/sbin/; done
cd /usr/sbin
rm ${missing.join(" ")}`,
  );
}

/** One whose /sys/bus/usb has a made-up device, as its /dev has at that place: the host's loop-control. The rest of /dev is the host's. */
export async function usbNamespace(
  t: Cleaner,
  device: { readonly vendor: string; readonly product: string },
): Promise<number> {
  return await preparedMounts(
    t,
    `mount -t tmpfs islt-bus /sys/bus
mkdir -p /sys/bus/usb/devices/1-1
cd /sys/bus/usb/devices/1-1
echo ${device.vendor} > idVendor
echo ${device.product} > idProduct
echo 5 > devnum
mount --rbind /dev "$1"
mount -t tmpfs -o mode=755 islt-dev /dev
for file in "$1"/*; do
  name=/dev/\${file##*/}
  if [ -d "$file" ] && [ ! -L "$file" ]; then mkdir "$name" && mount --rbind "$file" "$name"; else cp -a "$file" "$name"; fi
done
rm -rf /dev/bus
mkdir -p /dev/bus/usb/001
mknod /dev/bus/usb/001/005 c 10 237`,
  );
}

/** A process in a mount namespace that a script of sh has prepared. "$1": an empty directory. */
async function preparedMounts(t: Cleaner, prepare: string): Promise<number> {
  const defer = cleanup(t);
  const directory = mkdtempSync(join(testDir, "islt-mntns-"));
  defer(() => {
    rmSync(directory, { recursive: true, force: true });
  });
  const script = `
set -e
${prepare}
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
