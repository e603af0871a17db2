import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { testDir } from "./paths.js";
import { busyboxRootfs } from "./store.js";

/** Archives of images that are small and boot: busybox. */

/** A tree as a compressed tar. `options`: of tar. */
export function packed(directory: string, options: readonly string[] = ["--xz"]): Buffer {
  const words = ["-c", "--numeric-owner", ...options, "-C", directory, "."];
  return execFileSync("tar", words, { maxBuffer: 1 << 30, env: { ...process.env, XZ_OPT: "-0" } });
}

/** A tree that `fill` makes, as a compressed tar. */
export function packedTree(fill: (directory: string) => void, options: readonly string[] = ["--xz"]): Buffer {
  const directory = mkdtempSync(join(testDir, "tree-"));
  try {
    chmodSync(directory, 0o755);
    fill(directory);
    return packed(directory, options);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Writes files below a directory. */
export function writeTree(directory: string, files: Readonly<Record<string, string>>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(directory, path, ".."), { recursive: true });
    writeFileSync(join(directory, path), text);
  }
}

export const busyboxRoot = (more: Readonly<Record<string, string>> = {}, options?: readonly string[]): Buffer =>
  packedTree((directory) => {
    busyboxRootfs(directory);
    writeTree(directory, { "etc/hostname": "LXC_NAME\n", ...more });
  }, options);

/** The configuration of the image, as LXC's images have one. */
const config = `# For additional config options, please look at lxc.container.conf(5)
lxc.signal.halt = SIGUSR1
lxc.signal.reboot = SIGTERM
lxc.tty.max = 1
lxc.pty.max = 1
lxc.cap.drop = sys_module mac_admin mac_override sys_time
lxc.mount.auto = cgroup:mixed proc:mixed sys:mixed
`;

export const lxcMeta = (more: Readonly<Record<string, string>> = {}): Buffer =>
  packedTree((directory) => {
    writeTree(directory, {
      config,
      "config-user": `${config}# for users\n`,
      templates: "etc/hostname\netc/none\n",
      "excludes-user": "dev/*\n",
      "create-message": "You just created a busybox container.\n",
      ...more,
    });
  });
