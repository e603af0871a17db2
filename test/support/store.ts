import {
  copyFileSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { cleanup, type Cleaner } from "./cleanup.js";
import { command } from "./command.js";
import { testDir } from "./paths.js";

/** A store directory (lxcpath) of the test's own. At the end its containers are killed and the directory is removed. */
export interface Store {
  readonly path: string;
  /** `-P PATH -n NAME`, to put into a command line. */
  readonly at: (name: string) => readonly string[];
}

export function tempStore(t: Cleaner): Store {
  const path = mkdtempSync(join(testDir, "islt-store-"));
  cleanup(t)(async () => {
    for (const name of readdirSync(path)) {
      // 2: it did not run.
      const result = await command(["lxc-stop", "-P", path, "-n", name, "-k"]);
      if (result.status !== 0 && result.status !== 2 && existsSync(join(path, name, "config"))) {
        process.stderr.write(`clean-up: lxc-stop ${name}: status ${result.status}: ${result.stderr}`);
      }
    }
    rmSync(path, { recursive: true, force: true });
  });
  return { path, at: (name) => ["-P", path, "-n", name] };
}

let applets: readonly string[] | null = null;

/** Fills a directory with a root file system of busybox and links, made of the host's static busybox: a few milliseconds. */
export function busyboxRootfs(rootfs: string): void {
  for (const dir of ["bin", "sbin", "dev", "etc/init.d", "proc", "sys", "tmp", "root", "var/log", "run", "mnt"]) {
    mkdirSync(join(rootfs, dir), { recursive: true });
  }
  const source = ["/bin/busybox", "/usr/bin/busybox"].find((path) => existsSync(path)) ?? "/bin/busybox";
  copyFileSync(source, join(rootfs, "bin/busybox"), constants.COPYFILE_FICLONE);
  applets ??= execFileSync(source, ["--list"], { encoding: "utf8" }).trim().split("\n");
  for (const applet of applets) if (applet !== "busybox") symlinkSync("busybox", join(rootfs, "bin", applet));
  symlinkSync("../bin/busybox", join(rootfs, "sbin/init"));
  writeFileSync(join(rootfs, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n");
  writeFileSync(join(rootfs, "etc/group"), "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n");
  writeFileSync(join(rootfs, "etc/init.d/rcS"), "#!/bin/sh\n", { mode: 0o755 });
  writeFileSync(join(rootfs, "etc/inittab"), "::sysinit:/etc/init.d/rcS\nconsole::askfirst:/bin/sh\n");
}

/** The configuration that Debian's busybox template writes, without network. */
export function busyboxConfig(rootfs: string, name: string, extra: string = ""): string {
  return `lxc.rootfs.path = dir:${rootfs}
lxc.uts.name = ${name}
lxc.signal.halt = SIGUSR1
lxc.signal.reboot = SIGTERM
lxc.tty.max = 1
lxc.pty.max = 1
lxc.cap.drop = sys_module mac_admin mac_override sys_time
lxc.mount.auto = cgroup:mixed proc:mixed sys:mixed
lxc.net.0.type = empty
${extra}`;
}

/** Makes a container in the store by hand (no command of islet involved). Gives back the directory of its rootfs. */
export function busybox(store: Store, name: string, extraConfig: string = ""): string {
  const rootfs = join(store.path, name, "rootfs");
  busyboxRootfs(rootfs);
  writeFileSync(join(store.path, name, "config"), busyboxConfig(rootfs, name, extraConfig));
  return rootfs;
}
