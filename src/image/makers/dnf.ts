import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { IsletError } from "../../base/errors.js";
import { findProgram } from "../../host/run-program.js";
import type { ImageSource } from "../../spec/image.js";
import type { Arch } from "../../sys/arch.js";
import { type ImageMaker, type MakeContext, shortHash } from "../maker.js";
import { explainDnf } from "./dnf-errors.js";

export type RpmSource = Extract<ImageSource, { readonly kind: "dnf" }>;

/** As rpm calls what a host's processors run without help. */
const native: Readonly<Record<Arch, readonly string[]>> = {
  x86_64: ["x86_64", "i386", "i686"],
  arm64: ["aarch64", "armv7hl"],
};

/** Whole configuration of dnf: nothing of the host's is read, and no package gets in that none of the keys has signed. */
export function dnfConfig(source: RpmSource): string {
  const keys = source.keyrings.map((file) => `file://${file}`).join(" ");
  const main = [
    "[main]",
    "reposdir=/dev/null",
    "gpgcheck=1",
    "install_weak_deps=0",
    "keepcache=1",
    "plugins=0",
    "best=1",
  ];
  const repositories = source.repositories.map((url, index) =>
    [
      `[islet${index}]`,
      `name=${source.distribution} ${source.release} ${index}`,
      `${/[/?&]metalink\b|metalink\?/.test(url) ? "metalink" : "baseurl"}=${url}`,
      "enabled=1",
      "gpgcheck=1",
      `gpgkey=${keys}`,
    ].join("\n"),
  );
  return `${[main.join("\n"), ...repositories].join("\n\n")}\n`;
}

/**
 * dnf runs the packages' scripts with the root for their root. They get a /proc and the few devices that everything expects; these mounts go with
 * the namespace that the command runs in.
 */
const inside = `root=$1; shift
mkdir -p "$root/proc" "$root/dev" || exit
mount -t proc proc "$root/proc" || exit
mount -t tmpfs -o mode=755 none "$root/dev" || exit
for each in null zero full random urandom tty; do : > "$root/dev/$each" && mount --bind "/dev/$each" "$root/dev/$each"; done
exec "$@"`;

/** Where the release's own rpm looks for its database; the host's may have another place for it. */
function databasePath({ distribution, release }: RpmSource): string {
  return distribution === "fedora" && Number(release) < 36 ? "/var/lib/rpm" : "/usr/lib/sysimage/rpm";
}

export function dnfWords(source: RpmSource, rootfs: string, config: string, cache: string): readonly string[] {
  return [
    "--assumeyes",
    `--config=${config}`,
    `--installroot=${rootfs}`,
    `--releasever=${source.release}`,
    `--forcearch=${source.architecture}`,
    `--setopt=cachedir=${cache}/packages`,
    `--setopt=logdir=${cache}/log`,
    "install",
    ...source.packages,
  ];
}

/** null: the line says nothing of how far it is. */
export function dnfStep(line: string): string | null {
  const counted = /^\((\d+)\/(\d+)\): /.exec(line);
  if (counted !== null) return `downloading packages, ${counted[1] ?? ""} of ${counted[2] ?? ""}`;
  const installed = /^ +Installing +: +\S+ +(\d+)\/(\d+)/.exec(line);
  if (installed !== null) return `installing packages, ${installed[1] ?? ""} of ${installed[2] ?? ""}`;
  if (line.startsWith("Downloading Packages")) return "downloading packages";
  return line.startsWith("Running transaction") ? "installing packages" : null;
}

const mostLines = 400;

async function checkKeys(source: RpmSource): Promise<void> {
  if (source.keyrings.length === 0)
    throw new IsletError(
      "ISLET_UNTRUSTED",
      `there is no key for the packages of ${source.distribution} ${source.release}`,
      {
        hint: "give the file with it: --keyring FILE; nothing is installed unchecked",
      },
    );
  for (const file of source.keyrings) {
    const text = await readFile(file, "latin1").catch(() => "");
    if (!text.includes("BEGIN PGP PUBLIC KEY"))
      throw new IsletError("ISLET_UNTRUSTED", `${file} is no file with an OpenPGP key in text form`);
  }
}

async function runDnf(source: RpmSource, rootfs: string, context: MakeContext): Promise<void> {
  const program = findProgram("dnf");
  if (program === null)
    throw new IsletError("ISLET_UNSUPPORTED", "the program dnf is missing", { hint: "Debian: package dnf" });
  const home = join(context.cache, "home");
  await mkdir(join(context.cache, "log"), { recursive: true });
  await mkdir(home, { recursive: true });
  const config = join(context.cache, "dnf.conf");
  await writeFile(config, dnfConfig(source));
  await writeFile(join(home, ".rpmmacros"), `%_dbpath ${databasePath(source)}\n`);
  const lines: string[] = [];
  const words = dnfWords(source, rootfs, config, context.cache);
  const { status } = await context.run(["/bin/sh", "-c", inside, "sh", rootfs, program, ...words], {
    environment: {
      LC_ALL: "C.UTF-8",
      HOME: home,
      PATH: `${context.environment["PATH"] ?? ""}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    },
    line: (line) => {
      const step = dnfStep(line);
      if (step !== null) context.progress(`${source.distribution} ${source.release}: ${step}`);
      if (lines.length >= mostLines) lines.shift();
      lines.push(line);
    },
  });
  if (status !== 0) throw explainDnf(source.release, lines, status);
}

export const dnfMaker: ImageMaker<RpmSource> = {
  name(source) {
    const rest = [source.repositories, source.packages, source.keyrings];
    const hash = shortHash(JSON.stringify(rest));
    return `${source.distribution}-${source.release}-${source.architecture}-default-${hash}`;
  },
  async make(source, rootfs, context) {
    if (!native[context.arch].includes(source.architecture))
      throw new IsletError("ISLET_UNSUPPORTED", `this machine cannot run programs for ${source.architecture}`);
    await checkKeys(source);
    await runDnf(source, rootfs, context);
    return {
      distribution: source.distribution,
      release: source.release,
      architecture: source.architecture,
      variant: "default",
      made: Date.now(),
      fingerprint: null,
      files: {},
      run: null,
    };
  },
};
