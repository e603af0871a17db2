import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { IsletError } from "../../../base/errors.js";
import type { ImageSource, RootEditor } from "../../../spec/image.js";
import type { ParsedOptions } from "../commands/getopt.js";
import { option } from "../commands/options.js";
import { knownReleases } from "./apt-host.js";
import { type BuiltinTemplate, fillOptions, type TemplateHost } from "./builtin.js";
import {
  architectureOf,
  checkRelease,
  checkUrl,
  hostArchitecture,
  hostRelease,
  hostTimezone,
  placeOf,
  readCallerFile,
  readConfig,
  setTimezone,
  templateOptions,
  withAddress,
} from "./distro.js";
import { arrangedConfig, commonLines } from "./distro-config.js";
import { latestLts } from "./ubuntu-sources.js";

const options = [
  option("arch", "", { short: "a", argument: "ARCH" }),
  option("auth-key", "", { short: "S", argument: "FILE" }),
  option("cloud", "", { short: "C" }),
  option("debug", "", { short: "d" }),
  option("flush-cache", "", { short: "F" }),
  option("hostid", "", { short: "i", argument: "ID" }),
  option("keyring", "", { argument: "FILE" }),
  option("no-locales", "", { short: "L" }),
  option("no_locales", ""),
  option("release", "", { short: "r", argument: "RELEASE" }),
  option("server", "", { argument: "URL" }),
  option("stream", "", { short: "s", argument: "STREAM" }),
  option("tarball", "", { short: "T", argument: "FILE" }),
  option("userdata", "", { short: "u", argument: "FILE" }),
  option("vendordata", "", { short: "V", argument: "FILE" }),
];

const defaultServer = "https://cloud-images.ubuntu.com";

const usage = `LXC template for Ubuntu's cloud images

  lxc-create -t ubuntu-cloud -n NAME [OPTION...] [-- TEMPLATE-OPTION...]

  -h, --help              print this and exit
  -r, --release RELEASE   jammy, noble ... (default: the host's, if it is an Ubuntu; else the latest with long-term support)
  -a, --arch ARCH         amd64, arm64 ... (default: the host's)
  -s, --stream STREAM     released, daily, or tryreleased: daily if there is no release yet (default)
  -T, --tarball FILE      an archive or squashfs of the root file system in place of what is published
  -F, --flush-cache       get the image anew
      --server URL        where the images are (${defaultServer})
      --keyring FILE      the keys that its index is signed with (default: the one that comes with islet)
  -L, --no-locales        leave the host's locales out

For cloud-init in the container; with -C nothing of it is written, and it asks its metadata service:
  -C, --cloud             configured by a metadata service
  -i, --hostid ID         host id; its instance id is lxc-ID (default: random)
  -S, --auth-key FILE     SSH keys with which the user ubuntu may log in
  -u, --userdata FILE     what cloud-init is to do (default: password ubuntu for the user ubuntu)
  -V, --vendordata FILE   and what the vendor adds
  -d, --debug             nothing; for scripts that have it

  -p, --path PATH, -n, --name NAME, --rootfs PATH: given by lxc-create

Environment: MIRROR, the mirror that the default user data names.
`;

const seed = "/var/lib/cloud/seed/nocloud-net";
const archive = "/usr/lib/locale/locale-archive";

/** What cloud-init finds when it first starts. */
export interface Seed {
  readonly hostId: string;
  /** Lines of public keys. */
  readonly authKeys: string | null;
  readonly userData: string;
  readonly vendorData: string | null;
}

export function metaData(name: string, { hostId, authKeys }: Pick<Seed, "hostId" | "authKeys">): string {
  const keys = (authKeys ?? "").split("\n").filter((line) => line.trim() !== "");
  const list = authKeys === null ? [] : ["public-keys:", ...keys.map((key) => `- ${key}`)];
  return `${[`instance-id: lxc-${hostId}`, `local-hostname: ${name}`, ...list].join("\n")}\n`;
}

/** As LXC's hook ubuntu-cloud-prep writes it. */
export function defaultUserData(environment: Readonly<Record<string, string>>): string {
  const lang = environment["LANG"] ?? "";
  return [
    "#cloud-config",
    "output: {all: '| tee -a /var/log/cloud-init-output.log'}",
    `apt_mirror: ${checkUrl(environment["MIRROR"] ?? "http://archive.ubuntu.com/ubuntu")}`,
    "manage_etc_hosts: localhost",
    ...(/^[\w.@-]+$/.test(lang) ? [`locale: ${lang}`] : []),
    "password: ubuntu",
    "chpasswd: { expire: false; }",
    "",
  ].join("\n");
}

export function writeSeed(root: RootEditor, name: string, data: Seed): void {
  root.write(`${seed}/meta-data`, metaData(name, data));
  // Passwords may be in there.
  root.write(`${seed}/user-data`, data.userData, { mode: 0o600 });
  if (data.vendorData !== null) root.write(`${seed}/vendor-data`, data.vendorData, { mode: 0o600 });
}

async function seedOf(given: ParsedOptions, { caller }: TemplateHost): Promise<Seed | null> {
  const file = async (long: string): Promise<string | null> => {
    const path = given.value(long);
    return path === null ? null : await readCallerFile(path, caller, `--${long}: file`);
  };
  // Looked at even if it is of no use: a slip should not go unnoticed.
  const [authKeys, userData, vendorData] = [await file("auth-key"), await file("userdata"), await file("vendordata")];
  if (given.has("cloud")) return null;
  const hostId = given.value("hostid") ?? randomBytes(4).toString("hex");
  if (!/^[\w.:-]+$/.test(hostId)) throw new IsletError("ISLET_BAD_REQUEST", `"${hostId}" is no host id`);
  return { hostId, authKeys, userData: userData ?? defaultUserData(caller.environment), vendorData };
}

/** The published images of a stream, or the file that was given; to be tried in this order. */
function imagesOf(
  given: ParsedOptions,
  host: TemplateHost,
  release: string,
  architecture: string,
): readonly ImageSource[] {
  const tarball = given.value("tarball");
  if (tarball !== null) {
    if (/^(https?|ftp):/.test(tarball))
      throw new IsletError("ISLET_UNSUPPORTED", `${tarball}: nobody has signed what is there`, {
        hint: "download the file, look at its checksum, and give its path",
      });
    const path = tarball.startsWith("file:") ? fileURLToPath(tarball) : resolve(host.caller.cwd, tarball);
    if (!existsSync(path)) throw new IsletError("ISLET_BAD_REQUEST", `there is no file ${path}`);
    return [{ kind: "local", metadata: null, rootfs: path }];
  }
  const stream = given.value("stream") ?? "tryreleased";
  const names = stream === "tryreleased" ? ["released", "daily"] : [stream];
  const server = checkUrl(given.value("server") ?? defaultServer);
  const keyring = given.value("keyring");
  return names.map((name) => {
    if (name !== "released" && name !== "daily")
      throw new IsletError("ISLET_BAD_REQUEST", "Only 'daily' and 'released' and 'tryreleased' streams are supported");
    return {
      kind: "simplestreams",
      server,
      streams: `${name === "released" ? "releases" : "daily"}/streams/v1`,
      distribution: "ubuntu",
      release,
      architecture,
      variant: "default",
      keyrings: keyring === null ? [] : [resolve(host.caller.cwd, keyring)],
      validate: true,
    };
  });
}

async function defaultRelease(): Promise<string> {
  const release = await hostRelease();
  const own = release.get("ID") === "ubuntu" ? release.get("VERSION_CODENAME") : undefined;
  return own ?? latestLts(await knownReleases("ubuntu"), new Date().toISOString().slice(0, 10));
}

/** Does what the lxc-ubuntu-cloud script does with these arguments. */
export const ubuntuCloudTemplate: BuiltinTemplate = async (call) => {
  const { host, engine, idmap } = call;
  const given = templateOptions("ubuntu-cloud", options, usage, call);
  if (given === null) return;
  const place = await placeOf(given, call);
  const { name } = place;
  const release = checkRelease(given.value("release") ?? (await defaultRelease()));
  const architecture = architectureOf(given.value("arch") ?? hostArchitecture);
  const data = await seedOf(given, host);
  const timezone = await hostTimezone();
  const locales = data !== null && !given.has("no-locales") && !given.has("no_locales") && existsSync(archive);
  const finish = async (root: RootEditor): Promise<void> => {
    root.write("/etc/hostname", `${name}\n`);
    setTimezone(root, timezone);
    if (data !== null) writeSeed(root, name, data);
    if (locales) await root.copyIn(archive, archive, { mode: 0o644 });
  };
  const images = imagesOf(given, host, release, architecture);
  for (const [index, image] of images.entries()) {
    try {
      await engine.fillRootfs(
        { kind: "image", image, rootfs: place.rootfs, idmap, refresh: given.has("flush-cache"), finish },
        fillOptions(host),
      );
      break;
    } catch (error) {
      const isMissing = error instanceof IsletError && error.code === "ISLET_NOT_FOUND";
      if (!isMissing || index === images.length - 1) throw error;
    }
  }
  const own = [`lxc.uts.name = ${name}`, `lxc.arch = ${architecture === "i386" ? "i686" : architecture}`];
  const config = withAddress(await readConfig(place.config));
  const common = commonLines("ubuntu-cloud", release, idmap);
  await writeFile(place.config, arrangedConfig(config, place.documented, common, own));
  host.write(1, `Container ${name} created.\n`);
};
