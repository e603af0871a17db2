/**
 * The root file system of a busybox container: the same tree as Debian's lxc-busybox template makes, without its 300 processes.
 */
import { execFile } from "node:child_process";
import {
  accessSync,
  appendFileSync,
  chmodSync,
  closeSync,
  constants,
  lchownSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { copyFile } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { promisify } from "node:util";
import { IsletError } from "../base/errors.js";

const run = promisify(execFile);

function isExecutableFile(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** The busybox program to copy; `path`: a PATH value. ISLET_UNSUPPORTED names the package when there is none. */
function findBusybox(path: string): string {
  const directories = path.split(delimiter).filter((directory) => directory.startsWith("/"));
  const found = directories.map((directory) => join(directory, "busybox")).find(isExecutableFile);
  if (found !== undefined) return found;
  throw new IsletError("ISLET_UNSUPPORTED", "no busybox program was found in PATH", {
    hint: "install the package busybox-static",
  });
}

/** A busybox given by its path. */
function checkBusybox(path: string): string {
  if (isExecutableFile(path)) return path;
  throw new IsletError("ISLET_BAD_REQUEST", `Failed to find busybox binary (${path})`, {
    hint: "give the path of an executable busybox program",
  });
}

interface BusyboxFacts {
  readonly applets: readonly string[];
  /** Where this busybox's udhcpc looks for its script, e.g. /etc/udhcpc/default.script. */
  readonly dhcpScript: string;
}

/** The default of distributions' and upstream's builds. */
const usualDhcpScript = "/usr/share/udhcpc/default.script";

async function askBusybox(busybox: string): Promise<BusyboxFacts> {
  const options = { timeout: 10_000, env: { PATH: "/usr/bin:/bin" }, maxBuffer: 1 << 20 };
  const list = run(busybox, ["--list"], options);
  // --help exits with 1 in some versions and prints on standard error in all.
  const help = run(busybox, ["udhcpc", "--help"], options).then(
    ({ stdout, stderr }) => stdout + stderr,
    (error: unknown) => (error instanceof Error && "stderr" in error ? String(error.stderr) : ""),
  );
  let text: string;
  try {
    text = (await list).stdout;
  } catch (error) {
    throw new IsletError(
      "ISLET_BAD_REQUEST",
      `${busybox} --list failed: ${error instanceof Error ? error.message.trim() : String(error)}`,
      { cause: error },
    );
  }
  const script = /^\s*-s\b.*Run PROG.*?(\/[^)\s]+)\)?\s*$/m.exec(await help)?.[1] ?? usualDhcpScript;
  const applets = text.split("\n").filter((name) => name !== "" && !name.includes("busybox") && !name.includes("/"));
  return { applets, dhcpScript: script };
}

/** Relative paths, parents first; all 0755 but tmp. */
const directories: readonly string[] = [
  "selinux", "dev", "home", "root", "etc", "etc/init.d", "bin", "usr", "usr/bin", "sbin", "usr/sbin", "proc", "sys", "mnt", "tmp",
  "var", "var/log", "var/run", "dev/pts", "lib", "usr/lib", "lib64", "usr/lib64",
]; // prettier-ignore

const passwd = "root:x:0:0:root:/root:/bin/sh\n";
const group = "root:x:0:root\n";
const rcS = "#!/bin/sh\n/bin/syslogd\n/bin/mount -a\n/bin/udhcpc\n";
const inittab = "::sysinit:/etc/init.d/rcS\ntty1::respawn:/bin/getty -L tty1 115200 vt100\nconsole::askfirst:/bin/sh\n";
const dhcpScriptText = `#!/bin/sh
case "$1" in
  deconfig)
    ip addr flush dev $interface
    ;;

  renew|bound)
    # flush all the routes
    if [ -n "$router" ]; then
      ip route del default 2> /dev/null
    fi

    # check broadcast
    if [ -n "$broadcast" ]; then
      broadcast="broadcast $broadcast"
    fi

    # add a new ip address
    ip addr add $ip/$mask $broadcast dev $interface

    if [ -n "$router" ]; then
      ip route add default via $router dev $interface
    fi

    [ -n "$domain" ] && echo search $domain > /etc/resolv.conf
    for i in $dns ; do
      grep "nameserver $i" /etc/resolv.conf > /dev/null 2>&1
      if [ $? -ne 0 ]; then
        echo nameserver $i >> /etc/resolv.conf
      fi
    done
    ;;
esac
exit 0
`;

const isExisting = (error: unknown): boolean => error instanceof Error && "code" in error && error.code === "EEXIST";

function ignoreExisting(action: () => void): void {
  try {
    action();
  } catch (error) {
    if (!isExisting(error)) throw error;
  }
}

/** Gives a tree to somebody else, links themselves and not what they point to. */
function chownTree(path: string, uid: number, gid: number): void {
  lchownSync(path, uid, gid);
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const inside = join(path, entry.name);
    if (entry.isDirectory()) chownTree(inside, uid, gid);
    else lchownSync(inside, uid, gid);
  }
}

export interface BusyboxRequest {
  /** An existing directory. */
  readonly rootfs: string;
  /** The busybox program; null: found by `searchPath`, a PATH value. */
  readonly program: string | null;
  readonly searchPath: string;
  /** Host ids that everything shall belong to; null: our own. */
  readonly owner: { readonly uid: number; readonly gid: number } | null;
}

/**
 * Fills a root file system. Files that are there already are appended to, links kept, as the template does. The few hundred small calls are
 * made synchronously: together they take less than one turn of the thread pool per call would. ISLET_UNSUPPORTED: there is no busybox.
 */
export async function fillWithBusybox(request: BusyboxRequest): Promise<void> {
  const { rootfs, owner } = request;
  const busybox = request.program === null ? findBusybox(request.searchPath) : checkBusybox(request.program);
  const facts = await askBusybox(busybox);
  const inside = (path: string): string => join(rootfs, path);
  const append = (path: string, text: string, mode: number): void => {
    appendFileSync(inside(path), text, { mode });
    chmodSync(inside(path), mode);
  };
  for (const directory of directories) {
    ignoreExisting(() => mkdirSync(inside(directory)));
    chmodSync(inside(directory), directory === "tmp" ? 0o1777 : 0o755);
  }
  append("etc/passwd", passwd, 0o644);
  append("etc/group", group, 0o644);
  append("etc/init.d/rcS", rcS, 0o744);
  append("etc/inittab", inittab, 0o644);
  const scriptDirectory = dirname(facts.dhcpScript);
  mkdirSync(inside(scriptDirectory), { recursive: true, mode: 0o755 });
  // Debian's template gives the directory the mode meant for a file; only root looks in there.
  chmodSync(inside(scriptDirectory), 0o644);
  append(facts.dhcpScript, dhcpScriptText, 0o744);

  await copyFile(busybox, inside("bin/busybox"), constants.COPYFILE_FICLONE);
  for (const applet of facts.applets) ignoreExisting(() => symlinkSync("busybox", inside(`bin/${applet}`)));
  ignoreExisting(() => linkSync(inside("bin/busybox"), inside("sbin/init")));
  for (const path of ["etc/fstab", "etc/shadow"]) {
    closeSync(openSync(inside(path), "a", 0o644));
    chmodSync(inside(path), 0o644);
  }
  if (owner !== null) chownTree(rootfs, owner.uid, owner.gid);
  // After chown, which takes set-id bits away. passwd must be setuid, and it is a link: so the program itself is.
  chmodSync(inside("bin/busybox"), 0o6755);
}
