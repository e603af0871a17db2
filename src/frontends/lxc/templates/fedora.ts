import { randomBytes, randomInt } from "node:crypto";
import { access, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { IsletError } from "../../../base/errors.js";
import { option } from "../commands/options.js";
import { type BuiltinTemplate, fillOptions } from "./builtin.js";
import {
  checkUrl,
  hostRelease,
  hostTimezone,
  packageList,
  placeOf,
  purge,
  readConfig,
  templateOptions,
} from "./distro.js";
import { commonLines } from "./distro-config.js";
import { finishFedora } from "./fedora-root.js";
import { hashPassword } from "./password.js";

const options = [
  option("arch", "", { short: "aA", argument: "ARCH" }),
  option("clean", "", { short: "c" }),
  option("debug", "", { short: "d" }),
  option("fqdn", "", { argument: "NAME" }),
  option("keyring", "", { argument: "FILE" }),
  option("mask-tmp", ""),
  option("mirror", "", { short: "M", argument: "URL" }),
  option("packages", "", { short: "P", argument: "NAMES" }),
  option("release", "", { short: "R", argument: "NUMBER" }),
  option("rsync", ""),
];

const latest = "44";

const usage = `LXC template for Fedora

  lxc-create -t fedora -n NAME [OPTION...] [-- TEMPLATE-OPTION...]

The host needs dnf (Debian: package dnf) and the key that the release's packages are signed with.

  -h, --help                print this and exit
  -R, --release NUMBER      (default: the host's, if it is a Fedora; else ${latest})
  -a, --arch ARCH           x86_64, i386, aarch64 (default: the host's)
  -M, --mirror URL          where packages come from: what has linux/releases and linux/updates below it (default: Fedora's choice of mirrors)
      --keyring FILE        the release's key, as text (default: RPM-GPG-KEY-fedora-NUMBER-primary of /usr/share/distribution-gpg-keys/fedora,
                            /etc/pki/rpm-gpg, /etc/islet/keys or islet's own)
  -P, --packages NAME,...   further packages
      --fqdn NAME           the container's host name with its domain
      --mask-tmp            /tmp is a directory of the root file system
  -c, --clean               take all images of Fedora out of the cache; that is all that is done
  -d, --debug, --rsync      nothing; for scripts that have them

  -p, --path PATH, -n, --name NAME, --rootfs PATH: given by lxc-create

Environment: FEDORA_RELEASE_DEFAULT, the default of --release; root_password, root's first password.
`;

const archNames: Readonly<Record<string, string>> = {
  amd64: "x86_64",
  i386: "i386",
  i586: "i386",
  i686: "i386",
  arm64: "aarch64",
};
const hostArch = process.arch === "arm64" ? "aarch64" : "x86_64";

/** What LXC's template installs, by the names of the time. */
export function fedoraPackages(release: number): readonly string[] {
  const common = ["fedora-release", "openssh-clients", "openssh-server", "rootfiles", "vim-minimal"];
  if (release < 22) return [...common, "dhclient", "initscripts", "passwd", "yum"];
  if (release < 34) return [...common, "dhclient", "dnf", "fedora-repos", "initscripts", "passwd", "policycoreutils"];
  return [
    ...common,
    "dnf",
    "fedora-repos",
    "glibc-langpack-en",
    "iproute",
    "iputils",
    // Several packages have had it.
    "/usr/bin/passwd",
    "systemd",
    "systemd-networkd",
    "systemd-resolved",
  ];
}

/** The releases and the updates to them. */
export function fedoraRepositories(mirror: string | null, release: string, arch: string): readonly string[] {
  if (mirror !== null)
    return [
      `${mirror}/linux/releases/${release}/Everything/${arch}/os/`,
      `${mirror}/linux/updates/${release}/${Number(release) >= 28 ? "Everything/" : ""}${arch}/`,
    ];
  const metalink = "https://mirrors.fedoraproject.org/metalink";
  return [`fedora-${release}`, `updates-released-f${release}`].map((repo) => `${metalink}?repo=${repo}&arch=${arch}`);
}

/** The keys of the releases that Fedora cares for; those of the host come first. */
const shippedKeys = fileURLToPath(new URL("../../../../../share/keys/fedora", import.meta.url));

async function keysOf(release: string, arch: string): Promise<readonly string[]> {
  const places = ["/usr/share/distribution-gpg-keys/fedora", "/etc/pki/rpm-gpg", "/etc/islet/keys", shippedKeys];
  const names = [
    `RPM-GPG-KEY-fedora-${release}-primary`,
    `RPM-GPG-KEY-fedora-${release}-${arch}`,
    `RPM-GPG-KEY-fedora-${release}`,
  ];
  for (const place of places) {
    for (const name of names) {
      const isThere = await access(`${place}/${name}`).then(
        () => true,
        () => false,
      );
      if (isThere) return [`${place}/${name}`];
    }
  }
  return [];
}

/** As LXC's: it keeps who only tries out passwords, and has to be changed at the first login. */
function firstPassword(name: string, given: string | undefined): string {
  if (given !== undefined && given !== "") return given;
  const letters = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
  return `Root-${name}-${Array.from({ length: 12 }, () => letters.charAt(randomInt(letters.length))).join("")}`;
}

/** As LXC's template makes them for Fedora: fe and five bytes. */
const address = (): string =>
  ["fe", ...Array.from(randomBytes(5), (byte) => byte.toString(16).padStart(2, "0"))].join(":");

/** As lxc-fedora writes it: the first nic gets an address behind the line with its link. */
export function fedoraConfig(
  config: string,
  rootfs: string,
  common: readonly string[],
  own: readonly string[],
  makeAddress: () => string = address,
): string {
  const kept = config
    .replace(/^lxc\.net\.0\.hwaddr[ \t]*=.*\n/gm, "")
    .replace(/^lxc\.net\.0\.link[ \t]*=.*$/m, (line) => `${line}\nlxc.net.0.hwaddr = ${makeAddress()}`);
  const lines = [
    ...(/^lxc\.rootfs\.path/m.test(kept) ? [] : ["", `lxc.rootfs.path = ${rootfs}`, ""]),
    "",
    "# Include common configuration",
    ...common,
    "",
    "# Container specific configuration",
    ...own,
    "",
    "# When using LXC with apparmor, uncomment the next line to run unconfined:",
    "#lxc.apparmor.profile = unconfined",
  ];
  return `${kept}${lines.join("\n")}\n`;
}

/** Does what the lxc-fedora script does with these arguments. */
export const fedoraTemplate: BuiltinTemplate = async (call) => {
  const { host, engine, idmap } = call;
  const given = templateOptions("fedora", options, usage, call);
  if (given === null) return;
  if (given.has("clean")) {
    await purge(engine, host, "fedora");
    return;
  }
  const place = await placeOf(given, call);
  const { caller } = host;
  const own = await hostRelease();
  const detected = own.get("ID") === "fedora" ? own.get("VERSION_ID") : undefined;
  const release = given.value("release") ?? detected ?? caller.environment["FEDORA_RELEASE_DEFAULT"] ?? latest;
  if (!/^\d{1,3}$/.test(release) && release !== "rawhide")
    throw new IsletError("ISLET_BAD_REQUEST", `"${release}" is no release of Fedora`, { hint: "they have numbers" });
  const asked = given.value("arch") ?? hostArch;
  const arch = archNames[asked] ?? asked;
  const mirror = given.value("mirror");
  const keyring = given.value("keyring");
  const keyrings = keyring === null ? await keysOf(release, arch) : [resolve(caller.cwd, keyring)];
  const hostname = given.value("fqdn") ?? place.name;
  if (!/^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(hostname))
    throw new IsletError("ISLET_BAD_REQUEST", `"${hostname}" is no host name`);
  const password = firstPassword(place.name, caller.environment["root_password"]);
  const hash = await hashPassword(password);
  const timezone = await hostTimezone();
  const number = release === "rawhide" ? Number.MAX_SAFE_INTEGER : Number(release);
  await engine.fillRootfs(
    {
      kind: "image",
      image: {
        kind: "dnf",
        distribution: "fedora",
        release,
        architecture: arch,
        repositories: fedoraRepositories(mirror === null ? null : checkUrl(mirror), release, arch),
        packages: [...fedoraPackages(number), ...packageList(given.value("packages"))],
        keyrings,
      },
      rootfs: place.rootfs,
      idmap,
      refresh: false,
      finish: (root) => {
        finishFedora(root, { hostname, timezone, hash, masksTmp: given.has("mask-tmp") });
      },
    },
    fillOptions(host),
  );
  const lines = [`lxc.arch = ${arch}`, `lxc.uts.name = ${hostname}`];
  const common = commonLines("fedora", "", idmap);
  await writeFile(place.config, fedoraConfig(await readConfig(place.config), place.documented, common, lines));
  const file = `${place.path}/tmp_root_pass`;
  await writeFile(file, `${password}\n`, { mode: 0o600 });
  host.write(1, `root's first password is in ${file}; it has to be changed at the first login\n`);
};
