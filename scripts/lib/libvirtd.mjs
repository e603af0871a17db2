// Debian's libvirtd with its LXC driver, unpacked into a directory of the cache and never installed: the benchmark compares with it.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Failure, run } from "./common.mjs";

const cache = "/var/cache/islet-test";
/** Their libraries come with libvirt-clients and lxcfs. */
const packages = ["libvirt-daemon", "libvirt-daemon-driver-lxc"];

/** Gives back the directory; downloads where it is not there yet. Fails with what apt-get says. */
export function libvirtd(say) {
  const query = run("dpkg-query", ["-W", "-f", "${Version} ${Architecture}", "libvirt0"]);
  if (!query.ok) throw new Failure("the package libvirt0 is not installed");
  // It uses what that library keeps for itself: no other version will do.
  const [version = "", arch = ""] = query.stdout.split(" ");
  const directory = join(cache, `libvirtd-${version.replace(/[^\w.+~-]/g, "_")}-${arch}`);
  if (existsSync(directory)) return directory;
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(`${directory}.work`);
  const undo = () => rmSync(work, { recursive: true, force: true });
  // A signal's handler leaves without the finally below.
  process.once("exit", undo);
  try {
    const wanted = packages.map((name) => `${name}=${version}`);
    const download = () => run("apt-get", ["-q", "download", ...wanted], { cwd: work, timeout: 300 });
    say(`downloading ${packages.join(" ")} ${version}`);
    let got = download();
    if (!got.ok && run("apt-get", ["-q", "update"], { timeout: 300 }).ok) got = download();
    if (!got.ok) throw new Failure(`apt-get download ${wanted.join(" ")}: ${lastError(got.stderr)}`);
    for (const file of readdirSync(work).filter((name) => name.endsWith(".deb"))) {
      const unpacked = run("dpkg-deb", ["-x", join(work, file), join(work, "root")]);
      if (!unpacked.ok) throw new Failure(`dpkg-deb -x ${file}: ${unpacked.stderr.trim()}`);
    }
    try {
      renameSync(join(work, "root"), directory);
    } catch (error) {
      // Another run was quicker.
      if (!existsSync(directory)) throw error;
    }
    return directory;
  } finally {
    process.off("exit", undo);
    undo();
  }
}

function lastError(text) {
  const lines = text.trim().split("\n");
  return lines.findLast((line) => line.startsWith("E:")) ?? lines.at(-1) ?? "";
}
