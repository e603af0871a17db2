// Debian packages: finding out what is missing, and installing it without starting anything.
import { chmodSync, existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { Failure, run } from "./common.mjs";

const policy = "/usr/sbin/policy-rc.d";

/** Those of the packages that are not installed. */
export function missingPackages(packages) {
  return packages.filter((name) => {
    const query = run("dpkg-query", ["-W", "-f", "${db:Status-Status}", name]);
    return !(query.ok && query.stdout === "installed");
  });
}

/**
 * Installs packages, without their recommendations. While it runs, no service is started or restarted by a package
 * (policy-rc.d, Debian policy 9.3.3.1), unless the machine has a policy of its own, which then stays as it is.
 */
export function installPackages(packages, { say }) {
  if (!existsSync("/usr/bin/apt-get")) {
    throw new Failure(`this is not a Debian system; please install what these packages contain: ${packages.join(" ")}`);
  }
  if (process.getuid() !== 0) {
    throw new Failure(`these packages are missing; run this as root, or: apt-get install ${packages.join(" ")}`);
  }
  say(`installing ${packages.join(" ")}`);
  const apt = (args) =>
    run("apt-get", ["-q", "-y", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0", ...args], {
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive", NEEDRESTART_MODE: "l" },
      timeout: 1200,
    });
  const install = () => apt(["install", "--no-install-recommends", ...packages]);
  const ours = !existsSync(policy);
  const undo = () => ours && rmSync(policy, { force: true });
  const onSignal = (signal) => {
    undo();
    process.kill(process.pid, signal);
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const signal of signals) process.once(signal, onSignal);
  try {
    if (ours) {
      writeFileSync(
        policy,
        "#!/bin/sh\n# No service starts while packages are installed; removed afterwards.\nexit 101\n",
      );
      chmodSync(policy, 0o755);
    }
    // The lists may be there and good enough: then no update, which is the slow part.
    const listed = readdirSync("/var/lib/apt/lists").some(
      (name) => name.endsWith("_Packages") || name.includes("_Packages."),
    );
    if (listed && install().ok) return;
    const update = apt(["update"]);
    const second = install();
    if (!second.ok) {
      throw new Failure(
        `apt-get install ${packages.join(" ")} failed:\n${update.ok ? "" : update.stderr}${second.stdout}${second.stderr}`.trimEnd(),
      );
    }
  } finally {
    undo();
    for (const signal of signals) process.off(signal, onSignal);
  }
  const left = missingPackages(packages);
  if (left.length > 0) throw new Failure(`apt-get ended well, but these are still not installed: ${left.join(" ")}`);
}

/** True if `busybox` is there and needs no shared library: it is what goes into test containers. */
export function hasStaticBusybox() {
  return ["/bin/busybox", "/usr/bin/busybox"].some((path) => {
    if (!existsSync(path)) return false;
    const headers = run("readelf", ["-l", path]);
    return headers.ok && !headers.stdout.includes("INTERP");
  });
}
