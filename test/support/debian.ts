import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, existsSync, lchownSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ok } from "./command.js";

/**
 * Root file systems of Debian for tests: made by mmdebstrap from the mirror that this machine's apt is told to use, kept as a tar outside the checkout and
 * unpacked for each test. Documentation and translations are left out, as in Debian's own small images; what else is changed of a fresh Debian is all in `prepare`.
 */

export type DebianRelease = "bookworm" | "trixie";
export type DebianFlavour = "systemd" | "sysvinit";

export interface DebianImage {
  readonly release: DebianRelease;
  readonly flavour: DebianFlavour;
  /** Further packages. */
  readonly extra?: readonly string[];
}

const cache = "/var/cache/islet-test";
/** Milliseconds that making one may take. */
const makingTime = 300_000;
/** Days after which one is made anew, with what Debian has mended meanwhile. */
const shelfLife = 30;

const packages: Readonly<Record<DebianFlavour, readonly string[]>> = {
  systemd: ["systemd", "systemd-sysv", "dbus", "login", "passwd", "util-linux", "procps", "iproute2"],
  sysvinit: ["sysvinit-core", "login", "passwd", "util-linux", "procps", "iproute2"],
};

/**
 * Shell commands on the new root ($1). Root may log in without a password; mmdebstrap's copies of this machine's host name and resolver go. Debian's inittab
 * has no getty on the console and calls a script at SIGPWR that Debian does not have: the lines are those of LXC's template for Debian.
 */
const prepare: Readonly<Record<DebianFlavour, string>> = {
  systemd: 'chroot "$1" passwd -q -d root; rm -f "$1/etc/hostname" "$1/etc/resolv.conf"',
  sysvinit: `chroot "$1" passwd -q -d root; rm -f "$1/etc/hostname" "$1/etc/resolv.conf"
sed -i -e '/^[1-6]:.*getty/d' -e '/^p[fno]:/d' "$1/etc/inittab"
printf '%s\\n' '1:2345:respawn:/sbin/getty 38400 console' 'c1:12345:respawn:/sbin/getty 38400 tty1 linux' 'p6::ctrlaltdel:/sbin/init 6' 'p0::powerfail:/sbin/init 0' >> "$1/etc/inittab"`,
};

/** Where apt gets Debian itself from, or null if it is told of no Debian. */
export function debianMirror(): string | null {
  const names = ["ORIGIN", "RELEASE", "COMPONENT", "REPO_URI"].map((name) => `$(${name})`).join("|");
  const lines = execFileSync("apt-get", ["indextargets", "--format", names, "Created-By: Packages"], {
    encoding: "utf8",
  });
  for (const line of lines.split("\n")) {
    const [origin = "", release = "", component = "", uri = ""] = line.split("|");
    // The origin is known once the lists have been fetched.
    const isDebian = ["Debian", ""].includes(origin) && component === "main";
    if (isDebian && /^(bookworm|trixie|forky|sid|(old)*stable|testing|unstable)$/.test(release)) return uri;
  }
  return null;
}

/** One holder at a time; what an interrupted one left is swept by the next. Arguments: the tar, the packages, the preparation, the release, the mirror. */
const making = `set -e
find ${cache} -maxdepth 1 -name '*.tar*' -type f -mtime +${shelfLife} -delete
[ -e "$1" ] && exit 0
rm -rf "$1.work"; mkdir "$1.work"
TMPDIR="$1.work" mmdebstrap --quiet --mode=root --variant=minbase --format=tar --include="$2" --skip=check/empty \
  --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' --aptopt='APT::Install-Recommends "false"' --customize-hook="$3" "$4" "$1.work/tar" "$5"
mv "$1.work/tar" "$1"
rm -rf "$1.work"`;

function tarOf({ release, flavour, extra = [] }: DebianImage): string {
  const key = createHash("sha256")
    .update(JSON.stringify([making, packages[flavour], extra, prepare[flavour], process.arch]))
    .digest("hex");
  return join(cache, `debian-${release}-${flavour}-${key.slice(0, 12)}.tar`);
}

/** True if the image has been made. */
export function isCached(image: DebianImage): boolean {
  return existsSync(tarOf(image));
}

/** True if there are images already, or the mirror can be reached to make some. */
export function mayMakeDebian(): boolean {
  if (existsSync(cache) && readdirSync(cache).some((name) => name.endsWith(".tar"))) return true;
  const mirror = debianMirror();
  if (mirror === null) return false;
  const dir = mkdtempSync(join(tmpdir(), "islt-mirror-"));
  try {
    const words = [
      "-qq",
      "-o",
      "Acquire::Retries=0",
      "download-file",
      `${mirror}dists/bookworm/InRelease`,
      join(dir, "x"),
    ];
    execFileSync("/usr/lib/apt/apt-helper", words, { stdio: "ignore", timeout: 20_000 });
    return true;
  } catch {
    return false;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Makes the image if it is not there yet; gives back its tar. Two at once, in this or another run, are fine. */
export async function debianTar(image: DebianImage): Promise<string> {
  const tar = tarOf(image);
  if (existsSync(tar)) return tar;
  const { release, flavour, extra = [] } = image;
  const mirror = debianMirror();
  if (mirror === null) throw new Error("apt is told of no Debian: no image can be made");
  mkdirSync(cache, { recursive: true });
  const include = [...packages[flavour], ...extra].join(",");
  const words = ["sh", "-c", making, "sh", tar, include, prepare[flavour], release, mirror];
  await ok(["flock", `${tar}.lock`, ...words], { timeout: makingTime });
  return tar;
}

/**
 * Unpacks an image into the directory `rootfs`, which it makes, and lets `change` have it. `shift`: its files belong to ids from there on, as for an
 * id-mapped container without id-mapped mounts.
 */
export async function debianRootfs(
  image: DebianImage,
  rootfs: string,
  shift: number = 0,
  change: (rootfs: string) => void = () => undefined,
): Promise<void> {
  mkdirSync(rootfs, { recursive: true });
  const tar = await debianTar(image);
  // Ids in ACLs would have to be shifted, too: they are left out then.
  const attributes = shift > 0 ? [] : ["--xattrs", "--xattrs-include=*"];
  await ok(["tar", "-x", "--numeric-owner", ...attributes, "-f", tar, "-C", rootfs]);
  change(rootfs);
  if (shift > 0) shiftOwners(rootfs, shift);
}

/** Adds `by` to the owner and group of a tree. */
export function shiftOwners(path: string, by: number): void {
  const { uid, gid, mode } = lstatSync(path);
  lchownSync(path, uid + by, gid + by);
  const isLink = (mode & 0o170000) === 0o120000;
  // A change of owner takes the set-id bits away.
  if ((mode & 0o6000) !== 0 && !isLink) chmodSync(path, mode & 0o7777);
  if ((mode & 0o170000) === 0o040000) for (const name of readdirSync(path)) shiftOwners(join(path, name), by);
}
