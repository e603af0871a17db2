// Makes a fresh Debian machine able to build and run this checkout. Does nothing, quickly, when all is there.
//
//   node scripts/setup.mjs [--quiet] [--peers] [--no-build]
//
//   --quiet     say something only when something is done
//   --peers     also what the peer tests and the benchmarks compare with (Debian's lxc, uidmap, strace),
//               and what the tests with Debian guests make their images with (mmdebstrap)
//   --no-build  stop before the build
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Failure, main, must, root, which } from "./lib/common.mjs";
import { hasStaticBusybox, installPackages, missingPackages } from "./lib/packages.mjs";
import { nodeIncludes } from "./lib/headers.mjs";
import { build } from "./build.mjs";

/** What the peer tests, the tests with Debian guests and the benchmarks need beside the build's tools. */
export const peerPackages = [
  "lxc",
  "lxc-templates",
  "lxcfs",
  "libvirt-clients",
  "libxml2-utils",
  "python3-libvirt",
  "virtinst",
  "uidmap",
  "strace",
  "iproute2",
  "net-tools",
  "procps",
  "dnsmasq-base",
  "nftables",
  "iptables",
  "mmdebstrap",
  "dnf",
  "rpm",
  "createrepo-c",
  "gnupg",
  "openssh-client",
  "openssh-server",
  "rsync",
  "acl",
  "attr",
  "libcap2-bin",
  "e2fsprogs",
  "btrfs-progs",
  "gnupg",
  "gpgv",
  "openssl",
  "xfsprogs",
  "squashfs-tools",
  "zstd",
  "bzip2",
  "xz-utils",
];

/** A tool of the build, and the Debian package that has it. */
function missingTools() {
  const missing = [];
  const need = (present, name) => {
    if (!present && !missing.includes(name)) missing.push(name);
  };
  need(which("make"), "make");
  need(which("gcc") ?? which("cc"), "gcc");
  need(which("readelf"), "binutils");
  need(existsSync("/usr/include/stdio.h"), "libc6-dev");
  need(existsSync("/usr/include/linux/mount.h"), "linux-libc-dev");
  need(which("musl-gcc"), "musl-tools");
  need(which("readelf") && hasStaticBusybox(), "busybox-static");
  return missing;
}

/** True if node_modules is what package-lock.json says (npm writes down what it installed there). */
function modulesAreCurrent() {
  const read = (path) => (existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : null);
  const installed = read(join(root, "node_modules/.package-lock.json"));
  if (installed === null) return false;
  return Object.entries(read(join(root, "package-lock.json")).packages).every(
    ([path, wanted]) => path === "" || wanted.optional === true || installed.packages[path]?.version === wanted.version,
  );
}

/** `more`: packages beside those. */
export function setup({ quiet = false, peers = false, more = [], buildToo = true } = {}) {
  const say = (text) => process.stderr.write(`setup: ${text}\n`);
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    throw new Failure(`Node ${process.versions.node} is too old: 20.19 or later is needed`);
  }
  const wanted = missingTools();
  wanted.push(...missingPackages([...(peers ? peerPackages : []), ...more]));
  if (wanted.length > 0) installPackages([...new Set(wanted)], { say });

  if (!modulesAreCurrent()) {
    say("npm install");
    // Not `npm ci`: it refuses a lock file that leaves out a dependency's optional packages for other platforms, and mirrors of the
    // registry may lack those. With --no-save, npm takes the versions and checksums of the lock file and changes nothing.
    must("npm", ["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
  }
  // The addon needs Node's headers (its own distribution brings them) and libuv's, which Debian's nodejs package lacks.
  if (nodeIncludes() === null) installPackages(["libuv1-dev"], { say });
  if (nodeIncludes() === null) throw new Failure("neither node_api.h nor uv.h was found after the set-up");

  if (buildToo) build({ say: quiet ? () => {} : say });
}

if (process.argv[1] === import.meta.filename) {
  await main(() => {
    const args = process.argv.slice(2);
    setup({ quiet: args.includes("--quiet"), peers: args.includes("--peers"), buildToo: !args.includes("--no-build") });
  });
}
