import { readdir, readFile, writeFile } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { IsletError } from "../../../base/errors.js";
import type { ParsedOptions } from "../commands/getopt.js";
import { option } from "../commands/options.js";
import { sourceLine } from "../../../spec/apt-source.js";
import { bootstrapMirror, hostSources } from "./apt-host.js";
import { type BuiltinTemplate, fillOptions, type TemplateHost } from "./builtin.js";
import { debianKeyring, debianPackages, debianSources, knowsDebian } from "./debian-sources.js";
import { type DebianContainer, finishDebian } from "./debian-root.js";
import {
  architectureOf,
  checkRelease,
  checkUrl,
  hostArchitecture,
  hostRelease,
  hostTimezone,
  localeOf,
  packageList,
  placeOf,
  purge,
  readAuthKey,
  readConfig,
  templateOptions,
  withAddress,
} from "./distro.js";
import { appendedConfig, commonLines } from "./distro-config.js";
import { makeHostKeys } from "./ssh-keys.js";

const options = [
  option("arch", "", { short: "a", argument: "ARCH" }),
  option("auth-key", "", { short: "S", argument: "FILE" }),
  option("clean", "", { short: "c" }),
  option("enable-non-free", ""),
  option("mirror", "", { argument: "URL" }),
  option("keyring", "", { argument: "FILE" }),
  option("packages", "", { argument: "NAMES" }),
  option("release", "", { short: "r", argument: "RELEASE" }),
  option("security-mirror", "", { argument: "URL" }),
  option("interpreter-path", "", { short: "I", argument: "FILE" }),
  option("flush-cache", "", { short: "F" }),
];

const usage = `LXC template for Debian

  lxc-create -t debian -n NAME [OPTION...] [-- TEMPLATE-OPTION...]

The first container of a release takes as long as mmdebstrap (or debootstrap) takes to put it together; the others are copies of what is kept then.

  -h, --help                  print this and exit
  -r, --release RELEASE       bookworm, trixie, sid, stable ... (default: the host's, if it is a Debian; else stable)
  -a, --arch ARCH             amd64, i386, arm64, armhf ... (default: the host's)
  --mirror URL                where packages come from (default: as the host's apt has it)
  --security-mirror URL       where security updates come from
  --keyring FILE              the keys that the mirror is signed with (default: Debian's)
  --enable-non-free           contrib and non-free as well
  --packages NAME,NAME...     further packages
  -S, --auth-key FILE.pub     an SSH key with which root may log in
  -I, --interpreter-path FILE an emulator to copy into the container
  -F, --flush-cache           put the image together anew
  -c, --clean                 take all images of Debian out of the cache; without --path that is all that is done

  -p, --path PATH, -n, --name NAME, --rootfs PATH: given by lxc-create

Environment: SUITE, MIRROR, SECURITY_MIRROR, KEYRING do what the options --release, --mirror, --security-mirror and --keyring do.
`;

/** An option, else what the environment says; "" is nothing. */
const choiceOf =
  (given: ParsedOptions, { caller }: TemplateHost) =>
  (long: string, variable: string): string | null => {
    const text = given.value(long) ?? caller.environment[variable] ?? "";
    return text === "" ? null : text;
  };

async function defaultRelease(): Promise<string> {
  const release = await hostRelease();
  return release.get("ID") === "debian" ? (release.get("VERSION_CODENAME") ?? "sid") : "stable";
}

/** Where the kernel looks for an emulator of that name. ISLET_BAD_REQUEST: nowhere. */
async function interpreterOf(file: string): Promise<{ readonly file: string; readonly path: string }> {
  const directory = "/proc/sys/fs/binfmt_misc";
  for (const entry of await readdir(directory).catch(() => [])) {
    if (entry === "register" || entry === "status") continue;
    const text = await readFile(`${directory}/${entry}`, "utf8").catch(() => "");
    const path = /^interpreter (\S+)$/m.exec(text)?.[1];
    if (path !== undefined && basename(path) === basename(file)) return { file, path };
  }
  throw new IsletError("ISLET_BAD_REQUEST", `no binfmt interpreter using ${basename(file)}`);
}

/** lxc.tty.max of the configuration so far; LXC's template takes 4 otherwise. */
function ttysOf(config: string): number {
  const found = /^lxc\.tty\.max[ \t]*=[ \t]*(\d{1,2})[ \t]*$/m.exec(config)?.[1];
  return found === undefined ? 4 : Number(found);
}

/** Does what the lxc-debian script does with these arguments. */
export const debianTemplate: BuiltinTemplate = async (call) => {
  const { host, engine, idmap } = call;
  const given = templateOptions("debian", options, usage, call);
  if (given === null) return;
  if (given.has("clean") && !given.has("path")) {
    await purge(engine, host, "debian");
    return;
  }
  const place = await placeOf(given, call);
  const choice = choiceOf(given, host);
  const release = checkRelease(choice("release", "SUITE") ?? (await defaultRelease()));
  const arch = architectureOf(given.value("arch") ?? hostArchitecture);
  const authKeyFile = given.value("auth-key");
  const authKey = authKeyFile === null ? null : await readAuthKey(authKeyFile, host.caller);
  const url = (long: string, variable: string): string | null => {
    const text = choice(long, variable);
    return text === null ? null : checkUrl(text);
  };
  const keyring = choice("keyring", "KEYRING");
  const apt = await hostSources();
  const sources = debianSources({
    release,
    mirror: url("mirror", "MIRROR"),
    securityMirror: url("security-mirror", "SECURITY_MIRROR"),
    keyring: keyring === null ? null : resolve(host.caller.cwd, keyring),
    components: ["main", ...(given.has("enable-non-free") ? ["contrib", "non-free"] : [])],
    host: apt,
    fallback: knowsDebian(apt) ? null : await bootstrapMirror(),
  });
  const emulator = given.value("interpreter-path");
  const interpreter = emulator === null ? null : await interpreterOf(resolve(host.caller.cwd, emulator));
  const config = await readConfig(place.config);
  const ttys = ttysOf(config);
  // Made while the image is: the one does not wait for the other.
  const keys = makeHostKeys(place.name);
  keys.catch(() => undefined);
  const timezone = await hostTimezone();
  const usedKeyring = sources.written[0]?.signedBy.find((name) => name.startsWith("/")) ?? debianKeyring;
  const container: Omit<DebianContainer, "keys"> = {
    name: place.name,
    ttys,
    timezone,
    authKey,
    sources: sources.written,
    keyring: usedKeyring === debianKeyring ? null : usedKeyring,
    interpreter,
  };
  await engine.fillRootfs(
    {
      kind: "image",
      image: {
        kind: "debootstrap",
        distribution: "debian",
        suite: release,
        architecture: arch,
        mirrors: sources.build.map((source) => sourceLine(source)),
        components: sources.build[0]?.components ?? ["main"],
        packages: [...debianPackages(release), ...packageList(given.value("packages"))],
        variant: "minbase",
        locale: localeOf(host.caller),
        keyrings: [],
      },
      rootfs: place.rootfs,
      idmap,
      refresh: given.has("flush-cache"),
      finish: async (root) => {
        await finishDebian(root, { ...container, keys: await keys });
      },
    },
    fillOptions(host),
  );
  const own = [`lxc.tty.max = ${ttys}`, `lxc.uts.name = ${place.name}`, `lxc.arch = ${arch}`, "lxc.pty.max = 1024"];
  const common = commonLines("debian", release, idmap);
  await writeFile(place.config, appendedConfig(withAddress(config), place.documented, common, own));
  if (authKey !== null)
    host.write(1, `Inserted SSH public key from '${authKeyFile ?? ""}' into /root/.ssh/authorized_keys\n`);
  else host.write(1, `root has no password yet: lxc-attach -n ${place.name} -- passwd\n`);
  if (given.has("clean")) await purge(engine, host, "debian");
};
