import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { IsletError } from "../../base/errors.js";
import { findProgram } from "../../host/run-program.js";
import { type AptSource, parseSourceLines, sourceLine } from "../../spec/apt-source.js";
import type { ImageSource } from "../../spec/image.js";
import type { Arch } from "../../sys/arch.js";
import { type ImageMaker, type MakeContext, shortHash } from "../maker.js";
import { explainApt } from "./apt-errors.js";

export type DebianSource = Extract<ImageSource, { readonly kind: "debootstrap" }>;

/** Of the host's own architecture: what its processors run without help. */
const native: Readonly<Record<Arch, readonly string[]>> = {
  x86_64: ["amd64", "i386"],
  arm64: ["arm64", "armhf", "armel"],
};

/** What qemu calls the architectures of dpkg. */
const qemuNames: Readonly<Record<string, string>> = {
  amd64: "x86_64",
  arm64: "aarch64",
  armel: "arm",
  armhf: "arm",
  i386: "i386",
  loong64: "loongarch64",
  mips64el: "mips64el",
  mipsel: "mipsel",
  ppc64el: "ppc64le",
  riscv64: "riscv64",
  s390x: "s390x",
};

/** ISLET_UNSUPPORTED unless programs of that architecture can run here. */
async function checkArchitecture(architecture: string, host: Arch): Promise<void> {
  if (native[host].includes(architecture)) return;
  const qemu = qemuNames[architecture];
  if (qemu === undefined)
    throw new IsletError("ISLET_BAD_REQUEST", `there is no architecture ${architecture}`, {
      hint: `these are known: ${Object.keys(qemuNames).join(", ")}`,
    });
  const state = await readFile(`/proc/sys/fs/binfmt_misc/qemu-${qemu}`, "utf8").catch(() => "");
  if (state.startsWith("enabled")) return;
  throw new IsletError("ISLET_UNSUPPORTED", `this machine cannot run programs for ${architecture}`, {
    hint: "install an emulator (Debian: packages qemu-user-static and binfmt-support)",
  });
}

/** Signed by the given keys, where the mirror is a mere URL. */
export function sourcesOf(source: DebianSource): readonly AptSource[] {
  return source.mirrors.flatMap((mirror) =>
    /^deb\s/.test(mirror)
      ? parseSourceLines(mirror)
      : [
          {
            uri: mirror,
            suite: source.suite,
            components: source.components,
            signedBy: source.keyrings,
            isTrusted: false,
          },
        ],
  );
}

/** A few words for what mmdebstrap and debootstrap say they do. */
const steps: readonly (readonly [RegExp, string])[] = [
  [/^I: running apt-get update/, "reading the archive's index"],
  [/^I: downloading packages/, "downloading packages"],
  [/^I: extracting archives/, "unpacking"],
  [/^I: installing essential packages/, "installing the essential packages"],
  [/^I: installing remaining packages/, "installing packages"],
  [/^I: cleaning package lists/, "tidying up"],
  [/^I: (?:Retrieving|Validating) (?:In)?Release/, "reading the archive's index"],
  [/^I: (?:Retrieving|Validating) (\S+)/, "downloading $1"],
  [/^I: Extracting (\S+)/, "unpacking $1"],
  [/^I: (?:Unpacking|Configuring) (\S+)/, "installing $1"],
  [/^Setting up (\S+)/, "installing $1"],
];

/** null: the line says nothing of how far it is. */
export function stepOf(line: string): string | null {
  for (const [pattern, text] of steps) {
    const match = pattern.exec(line);
    if (match !== null) return text.replace("$1", (match[1] ?? "").replace(/\.\.\.$|:.*$/, ""));
  }
  return null;
}

/** Lines that may say why it failed; the rest is chatter. */
const matters = /^(E:|W:|Err:|dpkg:|mmdebstrap:|debootstrap:)|^ {2}\S|error|No space left/i;
const mostLines = 400;

/** The image ends with no key of a host and no option of ours. */
const tidy = 'rm -f "$1/etc/dpkg/dpkg.cfg.d/99mmdebstrap" "$1"/etc/ssh/ssh_host_*';

const charsetOf = (locale: string): string => locale.slice(locale.indexOf(".") + 1);

/** Answers for the package locales, before it is installed; it then makes the locale itself. */
function answers(locale: string): string {
  const charset = charsetOf(locale);
  const lines = [
    `locales locales/locales_to_be_generated multiselect ${locale} ${charset}`,
    `locales locales/default_environment_locale select ${locale}`,
  ];
  return `printf '%s\\n' ${lines.map((line) => `'${line}'`).join(" ")} | chroot "$1" debconf-set-selections`;
}

export function mmdebstrapWords(source: DebianSource, rootfs: string): readonly string[] {
  return [
    "--mode=root",
    "--format=directory",
    `--variant=${source.variant}`,
    `--architectures=${source.architecture}`,
    ...(source.packages.length === 0 ? [] : [`--include=${source.packages.join(",")}`]),
    // What is written here is thrown away if the machine dies meanwhile.
    "--dpkgopt=force-unsafe-io",
    ...(source.locale === null ? [] : [`--essential-hook=${answers(source.locale)}`]),
    `--customize-hook=${tidy}`,
    source.suite,
    rootfs,
    ...sourcesOf(source).map((each) => sourceLine(each)),
  ];
}

/** debootstrap takes one mirror, one file with keys, and knows nothing of answers. */
export function debootstrapWords(source: DebianSource, rootfs: string): readonly string[] {
  const [first] = sourcesOf(source);
  const keyring = first?.signedBy.find((name) => name.startsWith("/"));
  return [
    ...(source.variant === "" || source.variant === "-" ? [] : [`--variant=${source.variant}`]),
    `--arch=${source.architecture}`,
    ...(source.packages.length === 0 ? [] : [`--include=${source.packages.join(",")}`]),
    ...(keyring === undefined ? [] : [`--keyring=${keyring}`]),
    ...(first?.isTrusted === true ? ["--no-check-gpg"] : ["--force-check-gpg"]),
    `--components=${(first?.components ?? source.components).join(",")}`,
    source.suite,
    rootfs,
    first?.uri ?? "",
  ];
}

async function runTool(
  program: string,
  words: readonly string[],
  source: DebianSource,
  context: MakeContext,
): Promise<void> {
  const lines: string[] = [];
  const { status } = await context.run([program, ...words], {
    environment: {
      // As its own words are read here, and no package asks anybody.
      LC_ALL: "C.UTF-8",
      LANGUAGE: "C",
      DEBIAN_FRONTEND: "noninteractive",
      PATH: `${context.environment["PATH"] ?? ""}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    },
    line: (line) => {
      const step = stepOf(line);
      if (step !== null) context.progress(`${source.distribution} ${source.suite}: ${step}`);
      if (!matters.test(line)) return;
      if (lines.length >= mostLines) lines.shift();
      lines.push(line);
    },
  });
  if (status !== 0) throw explainApt({ suite: source.suite, lines, program: basename(program), status });
}

/** After debootstrap, which takes no answers: the locale is made, and the builder's host keys go. Arguments: the root, the locale, its charset. */
const afterDebootstrap = `if [ -n "$2" ] && [ -e "$1/etc/locale.gen" ]; then
echo "$2 $3" >> "$1/etc/locale.gen" && chroot "$1" locale-gen > /dev/null && chroot "$1" update-locale "LANG=$2" || exit
fi
rm -f "$1"/etc/ssh/ssh_host_*; chroot "$1" apt-get clean`;

async function finishDebootstrap({ locale }: DebianSource, rootfs: string, context: MakeContext): Promise<void> {
  const words = locale === null ? ["", ""] : [locale, charsetOf(locale)];
  const { status, lastLines } = await context.run(["/bin/sh", "-c", afterDebootstrap, "sh", rootfs, ...words]);
  if (status !== 0) context.notice(`the locale ${locale ?? ""} could not be made: ${lastLines.at(-1) ?? ""}`);
}

/** ISLET_UNTRUSTED when a key that a source names is not there. */
async function checkKeys(sources: readonly AptSource[]): Promise<void> {
  for (const file of new Set(sources.flatMap((source) => source.signedBy))) {
    if (!file.startsWith("/")) continue;
    const isThere = await readFile(file).then(
      (bytes) => bytes.length > 0,
      () => false,
    );
    if (isThere) continue;
    const name = /\/((?:debian|ubuntu)-archive)-keyring\.gpg$/.exec(file)?.[1];
    throw new IsletError("ISLET_UNTRUSTED", `the keys that the archive is signed with are missing: ${file}`, {
      hint:
        name === undefined
          ? "give the file with them: --keyring FILE"
          : `Debian: package ${name === "ubuntu-archive" ? "ubuntu-keyring (ubuntu-archive-keyring)" : "debian-archive-keyring"}, or give another file: --keyring FILE`,
    });
  }
}

export const debootstrapMaker: ImageMaker<DebianSource> = {
  name(source) {
    const { distribution, suite, architecture, variant } = source;
    const rest = [source.mirrors, source.components, source.packages, source.keyrings, source.locale];
    const hash = shortHash(JSON.stringify(rest));
    return `${distribution}-${suite}-${architecture}-${variant === "" ? "default" : variant}-${hash}`;
  },
  async make(source, rootfs, context) {
    // It becomes part of a command.
    if (source.locale !== null && !/^[\w@-]+\.[\w-]+$/.test(source.locale))
      throw new IsletError("ISLET_BAD_REQUEST", `"${source.locale}" is no locale with a charset`);
    await checkArchitecture(source.architecture, context.arch);
    await checkKeys(sourcesOf(source));
    const fast = findProgram("mmdebstrap");
    const slow = fast === null ? findProgram("debootstrap") : null;
    if (fast !== null) await runTool(fast, mmdebstrapWords(source, rootfs), source, context);
    else if (slow !== null) {
      await runTool(slow, debootstrapWords(source, rootfs), source, context);
      await finishDebootstrap(source, rootfs, context);
      context.notice(`made by debootstrap: without security updates until apt gets them (mmdebstrap has them at once)`);
    } else
      throw new IsletError("ISLET_UNSUPPORTED", "the program mmdebstrap is missing", {
        hint: "Debian: package mmdebstrap; debootstrap will do as well",
      });
    return {
      distribution: source.distribution,
      release: source.suite,
      architecture: source.architecture,
      variant: source.variant,
      made: Date.now(),
      fingerprint: null,
      files: {},
      run: null,
    };
  },
};
