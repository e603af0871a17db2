// Runs tests on another kind of host: a virtual machine with a pure cgroup v2 tree and systemd as PID 1 (User-mode Linux: no KVM needed).
//
//   npm run test:vm -- [--bare] [--minutes N] [--patience N] [TEST ...]
//
//   TEST          as for `npm test` (default: kernel)
//   --selinux     with SELinux and Debian's policy, permissive: in an image of its own
//   --bare        no systemd: a shell is PID 1 and the test run is all there is
//   --minutes N   give up after so long (default 120)
//   --patience N  how many times longer than on this machine a test may wait (default 12: system calls are slow in there)
//
// The image is made once (two minutes, 2 GB) and kept in ISLET_VM_CACHE, default /var/cache/islet-vm. Needs root. Exit status: that of the tests.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Failure, filesBelow, main, must, root, which } from "./lib/common.mjs";
import { installPackages, missingPackages } from "./lib/packages.mjs";
import { peerPackages, setup } from "./setup.mjs";

const cache = process.env.ISLET_VM_CACHE ?? "/var/cache/islet-vm";
const hostPackages = ["user-mode-linux", "mmdebstrap", "e2fsprogs", "kmod"];

/** What is in the machine, which has no network: systemd and what the tests use. */
const guestPackages = [
  ...peerPackages,
  "systemd",
  "systemd-sysv",
  "dbus",
  "libpam-systemd",
  "kmod",
  "login",
  "python3",
  "gcc",
  "make",
  "libc6-dev",
  "linux-libc-dev",
  "musl-tools",
  "busybox-static",
  "tmux",
  "libstdc++6",
  "libuv1-dev",
  "lvm2",
  "thin-provisioning-tools",
];

/** With --selinux: what it confines is told, nothing is refused (files of the image have no labels). */
const selinuxPackages = ["selinux-policy-default", "policycoreutils", "selinux-utils"];
/** The types that Debian's lxc_contexts names, which no module of its policy has. */
const selinuxModule = `(type container_t)
(roletype system_r container_t)
(typeattributeset domain (container_t))
(type container_file_t)
(roletype object_r container_file_t)
(typeattributeset file_type (container_file_t))
`;
const selinuxConfig = "SELINUX=permissive\nSELINUXTYPE=default\n";

/** Services that only cost time there. */
const masked = [
  "getty@tty1.service",
  "apt-daily.timer",
  "apt-daily-upgrade.timer",
  "e2scrub_all.timer",
  "e2scrub_reap.service",
  "fstrim.timer",
  "dpkg-db-backup.timer",
  "lxc.service",
  "lxc-net.service",
  "lxc-monitord.service",
  "lxcfs.service",
];

/** Machine's own apt sources: what it may reach is what it uses itself. */
function aptSources() {
  const found = ["/etc/apt/sources.list", ...sourcesBelow("/etc/apt/sources.list.d")].filter(
    (path) => existsSync(path) && /^\s*(deb\s|URIs:)/m.test(readFileSync(path, "utf8")),
  );
  if (found.length === 0) throw new Failure("apt has no sources here: the image of the machine cannot be made");
  return found;
}

const sourcesBelow = (directory) =>
  existsSync(directory)
    ? readdirSync(directory)
        .filter((name) => /\.(list|sources)$/.test(name))
        .map((name) => join(directory, name))
    : [];

/** Makes the image unless it is there; answers its path. A half-made one is never used: it gets its name at the end. */
function image(say, selinux) {
  const files = filesBelow("scripts/vm").map((path) => readFileSync(join(root, path)));
  const packages = selinux ? [...guestPackages, ...selinuxPackages] : guestPackages;
  const recipe = createHash("sha256").update(JSON.stringify([packages, masked, selinux ? selinuxModule : ""]));
  for (const file of [...files, readFileSync(process.execPath)]) recipe.update(file);
  const kind = selinux ? "selinux-" : "";
  const path = join(cache, `${kind}${recipe.digest("hex").slice(0, 16)}.ext4`);
  if (existsSync(path)) return path;
  mkdirSync(cache, { recursive: true, mode: 0o755 });
  const work = mkdtempSync(join(cache, "new-"));
  try {
    say("making the machine's image (once)");
    const tree = join(work, "root");
    must(
      "mmdebstrap",
      [
        "--quiet",
        "--variant=minbase",
        "--mode=root",
        `--include=${packages.join(",")}`,
        "bookworm",
        tree,
        ...aptSources(),
      ],
      { timeout: 1200 },
    );
    const modules = "/usr/lib/uml/modules";
    if (existsSync(modules)) must("cp", ["-a", `${modules}/.`, join(tree, "lib/modules/")]);
    copyFileSync(process.execPath, join(tree, "usr/bin/node"));
    for (const name of ["vm-job", "vm-init"]) {
      copyFileSync(join(root, "scripts/vm", name), join(tree, "usr/local/sbin", name));
      must("chmod", ["755", join(tree, "usr/local/sbin", name)]);
    }
    copyFileSync(join(root, "scripts/vm/vm-job.service"), join(tree, "etc/systemd/system/vm-job.service"));
    mkdirSync(join(tree, "etc/systemd/system/multi-user.target.wants"), { recursive: true });
    mkdirSync(join(tree, "share"));
    const units = join(tree, "etc/systemd/system");
    must("ln", ["-sf", "../vm-job.service", join(units, "multi-user.target.wants/vm-job.service")]);
    for (const unit of masked) must("ln", ["-sf", "/dev/null", join(units, unit)]);
    must("sh", [
      "-c",
      'echo vm > "$0/etc/hostname"; : > "$0/etc/machine-id"; echo "/dev/root / auto defaults 0 0" > "$0/etc/fstab"',
      tree,
    ]);
    if (selinux) {
      writeFileSync(join(tree, "etc/selinux/config"), selinuxConfig);
      writeFileSync(join(tree, "root/containers.cil"), selinuxModule);
      must("chroot", [tree, "semodule", "-n", "-s", "default", "-i", "/root/containers.cil"], { timeout: 600 });
    }
    const made = join(work, "image");
    must("mke2fs", ["-q", "-F", "-t", "ext4", "-O", "^has_journal,^metadata_csum", "-d", tree, made, "8G"]);
    renameSync(made, path);
    // Those of other recipes: 2 GB each.
    for (const name of readdirSync(cache))
      if (/^(selinux-)?/.exec(name)[0] === kind && name.endsWith(".ext4") && join(cache, name) !== path)
        rmSync(join(cache, name));
    return path;
  } finally {
    must("rm", ["-rf", "--one-file-system", work]);
  }
}

/** The checkout as it is, with what was built from it. */
function stage(directory) {
  const list = must("git", ["ls-files", "-z"])
    .stdout.split("\0")
    .filter((path) => path !== "" && existsSync(join(root, path)));
  const packed = join(directory, "islet.tar");
  must("tar", ["-cf", packed, "--null", "-T", "-", "bin", "dist", "build", "node_modules"], {
    input: `${list.join("\0")}\0`,
  });
}

await main(async () => {
  let values, positionals;
  try {
    ({ values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        selinux: { type: "boolean", default: false },
        bare: { type: "boolean", default: false },
        minutes: { type: "string", default: "120" },
        patience: { type: "string", default: "12" },
      },
    }));
  } catch (error) {
    throw new Failure(`${error.message}; see the head of scripts/vm.mjs`);
  }
  if (process.getuid() !== 0) throw new Failure("making the machine's image needs root");
  const say = (text) => process.stderr.write(`vm: ${text}\n`);
  setup({ quiet: true });
  const missing = missingPackages(hostPackages);
  if (missing.length > 0) installPackages(missing, { say });
  const disk = image(say, values.selinux);
  const work = mkdtempSync(join(tmpdir(), "islt-vm-"));
  try {
    stage(work);
    const tests = positionals.length === 0 ? ["kernel"] : positionals;
    const status = await runMachine({ disk, work, tests, ...values });
    if (status === null) throw new Failure("the machine ended without saying how the tests went");
    process.exitCode = status;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
});

/** Boots it, shows what the tests print, and answers their exit status; null: it never said. */
function runMachine({ disk, work, tests, bare, minutes, patience }) {
  const kernel = which("linux.uml");
  if (kernel === null) throw new Failure("there is no linux.uml: apt-get install user-mode-linux");
  const words = [
    "mem=3072M",
    `umid=islt-vm-${process.pid}`,
    `uml_dir=${work}`,
    `ubd0=${work}/changes,${disk}`,
    "root=/dev/ubda",
    "rw",
    "quiet",
    "con=null",
    "con0=null,null",
    "ssl0=null,fd:1",
    "console=ttyS0",
    "systemd.show_status=0",
    `vm.share=${work}`,
    `vm.patience=${patience}`,
    `vm.tests=${tests.join(",")}`,
    ...(bare ? ["init=/usr/local/sbin/vm-init"] : []),
  ];
  const child = spawn(kernel, words, {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, TMPDIR: work },
    detached: true,
  });
  // Its processes are a group of their own: they end with it.
  const end = () => {
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {
      // It has ended.
    }
  };
  process.once("exit", end);
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
  const timer = setTimeout(end, Number(minutes) * 60_000);
  return new Promise((resolve, reject) => {
    let status = null;
    let rest = "";
    child.stdout.setEncoding("utf8").on("data", (text) => {
      const lines = `${rest}${text.replaceAll("\r", "")}`.split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const ended = /^VMJOB ended (\d+)/.exec(line);
        if (ended !== null) status = Number(ended[1]);
        if (line.trim() !== "") console.log(line);
      }
    });
    child.on("error", reject);
    child.on("close", () => {
      clearTimeout(timer);
      end();
      resolve(status);
    });
  });
}
