import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { IsletError } from "../../../base/errors.js";
import type { Engine } from "../../../engine/engine.js";
import { sourceLine } from "../../../spec/apt-source.js";
import type { ParsedOptions } from "../commands/getopt.js";
import { option } from "../commands/options.js";
import { checkUserName } from "./account-files.js";
import { hostSources, knownReleases } from "./apt-host.js";
import { type BuiltinTemplate, fillOptions, type TemplateHost } from "./builtin.js";
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
  readAuthKey,
  readConfig,
  templateOptions,
  withAddress,
} from "./distro.js";
import { arrangedConfig, commonLines } from "./distro-config.js";
import { hashPassword } from "./password.js";
import { makeHostKeys } from "./ssh-keys.js";
import { finishUbuntu, type HostUser, type Login, shellPackages, type UbuntuContainer } from "./ubuntu-root.js";
import { latestLts, ubuntuKeyring, ubuntuPackages, ubuntuSources } from "./ubuntu-sources.js";

const options = [
  option("arch", "", { short: "a", argument: "ARCH" }),
  option("auth-key", "", { short: "S", argument: "FILE" }),
  option("bindhome", "", { short: "b", argument: "USER" }),
  option("debug", "", { short: "d" }),
  option("flush-cache", "", { short: "F" }),
  option("keyring", "", { argument: "FILE" }),
  option("mirror", "", { argument: "URL" }),
  option("packages", "", { argument: "NAMES" }),
  option("password", "", { argument: "PASSWORD" }),
  option("release", "", { short: "r", argument: "RELEASE" }),
  option("security-mirror", "", { argument: "URL" }),
  option("trim", "", { short: "x" }),
  option("user", "", { short: "u", argument: "USER" }),
  option("variant", "", { short: "v", argument: "VARIANT" }),
];

const usage = `LXC template for Ubuntu

  lxc-create -t ubuntu -n NAME [OPTION...] [-- TEMPLATE-OPTION...]

The first container of a release takes as long as mmdebstrap (or debootstrap) takes to put it together; the others are copies of what is kept then.

  -h, --help               print this and exit
  -r, --release RELEASE    jammy, noble ... (default: the host's, if it is an Ubuntu; else the latest with long-term support)
  -a, --arch ARCH          amd64, i386, arm64, armhf ... (default: the host's)
  -v, --variant VARIANT    how much of it: minbase (default), important, standard ... as mmdebstrap has it
  -F, --flush-cache        put the image together anew
  --trim                   leave out what a container can do without; services that only cost time are never started
  -u, --user USER          who may log in, and use sudo (ubuntu)
  --password PASSWORD      with this password (ubuntu)
  -S, --auth-key FILE.pub  and this SSH key
  -b, --bindhome USER      no such user: USER of the host instead, with password, shell and home directory
  --packages NAME,NAME...  further packages
  --mirror URL             where packages come from (default: as the host's apt has it, if it is an Ubuntu)
  --security-mirror URL    where security updates come from
  --keyring FILE           the keys that the mirror is signed with (default: Ubuntu's)
  -d, --debug              nothing; for scripts that have it

  -p, --path PATH, -n, --name NAME, --rootfs PATH: given by lxc-create

Environment: MIRROR and SECURITY_MIRROR do what the options --mirror and --security-mirror do.
`;

/** One entry of the host's databases, wherever they are, by name or number; null: there is none. */
function ask(database: string, key: string): Promise<string | null> {
  return new Promise((done) => {
    execFile("getent", [database, key], { timeout: 10_000 }, (error, stdout) => {
      const [line = ""] = stdout.split("\n");
      done(error !== null || line === "" ? null : line);
    });
  });
}

/** `accounts`: the directory of the host's files. */
async function hostUser(name: string, accounts: string): Promise<HostUser> {
  const entry = async (database: string, key: string, field: number): Promise<string | null> => {
    const text = await readFile(`${accounts}/${database}`, "utf8").catch(() => "");
    const line = text.split("\n").find((each) => each.split(":")[field] === key);
    return line ?? (accounts === "/etc" ? await ask(database, key) : null);
  };
  const passwd = await entry("passwd", checkUserName(name), 0);
  if (passwd === null) throw new IsletError("ISLET_BAD_REQUEST", `no password entry found for ${name}`);
  return {
    passwd,
    shadow: await entry("shadow", name, 0),
    group: await entry("group", passwd.split(":")[3] ?? "", 2),
  };
}

async function loginOf(given: ParsedOptions, engine: Engine): Promise<Login> {
  const bound = given.value("bindhome");
  if (bound !== null) {
    const { host } = await engine.hostReport();
    return { kind: "host", name: bound, user: await hostUser(bound, host.accounts) };
  }
  const name = checkUserName(given.value("user") ?? "ubuntu");
  return { kind: "new", name, hash: await hashPassword(given.value("password") ?? "ubuntu") };
}

async function defaultRelease(): Promise<string> {
  const release = await hostRelease();
  const own = release.get("ID") === "ubuntu" ? release.get("VERSION_CODENAME") : undefined;
  return own ?? latestLts(await knownReleases("ubuntu"), new Date().toISOString().slice(0, 10));
}

/** The user's home directory is there, too. */
function bindLines(login: Login): readonly string[] {
  if (login.kind === "new") return [];
  const home = (login.user.passwd.split(":")[5] ?? "").replaceAll(" ", "\\040");
  return [`lxc.mount.entry = ${home} ${home.replace(/^\/+/, "")} none bind 0 0`];
}

function tellLogin(host: TemplateHost, login: Login, hasPassword: boolean): void {
  const lines =
    login.kind === "host"
      ? [`# Log in as user ${login.name}`]
      : [
          `# The default user is '${login.name}' with ${hasPassword ? "the given password" : "password 'ubuntu'"}!`,
          "# Use the 'sudo' command to run tasks as root in the container.",
        ];
  host.write(1, `\n##\n${lines.join("\n")}\n##\n\n`);
}

/** Does what the lxc-ubuntu script does with these arguments. */
export const ubuntuTemplate: BuiltinTemplate = async (call) => {
  const { host, engine, idmap } = call;
  const given = templateOptions("ubuntu", options, usage, call);
  if (given === null) return;
  const place = await placeOf(given, call);
  const { caller } = host;
  const release = checkRelease(given.value("release") ?? (await defaultRelease()));
  const architecture = architectureOf(given.value("arch") ?? hostArchitecture);
  const login = await loginOf(given, engine);
  const authKeyFile = given.value("auth-key");
  const authKey = authKeyFile === null ? null : await readAuthKey(authKeyFile, caller);
  const url = (long: string, variable: string): string | null => {
    const text = given.value(long) ?? caller.environment[variable] ?? "";
    return text === "" ? null : checkUrl(text);
  };
  const keyring = given.value("keyring");
  const sources = ubuntuSources({
    release,
    architecture,
    mirror: url("mirror", "MIRROR"),
    securityMirror: url("security-mirror", "SECURITY_MIRROR"),
    keyring: keyring === null ? null : resolve(caller.cwd, keyring),
    host: await hostSources(),
  });
  const trim = given.has("trim");
  const locale = localeOf(caller);
  const keys = makeHostKeys(place.name);
  // Made while the image is: the one does not wait for the other.
  keys.catch(() => undefined);
  const config = await readConfig(place.config);
  const usedKeyring = sources.written[0]?.signedBy.find((name) => name.startsWith("/")) ?? ubuntuKeyring;
  const container: Omit<UbuntuContainer, "keys"> = {
    name: place.name,
    timezone: await hostTimezone(),
    locale,
    login,
    authKey: login.kind === "new" ? authKey : null,
    sources: sources.written,
    keyring: usedKeyring === ubuntuKeyring ? null : usedKeyring,
    trim,
    notice: (text) => {
      host.write(2, `${text}\n`);
    },
  };
  const language = `language-pack-${locale.slice(0, locale.indexOf("_"))}`;
  const packages = [
    ...ubuntuPackages(release, trim),
    language,
    ...shellPackages(login),
    ...packageList(given.value("packages")),
  ];
  await engine.fillRootfs(
    {
      kind: "image",
      image: {
        kind: "debootstrap",
        distribution: "ubuntu",
        suite: release,
        architecture,
        mirrors: sources.build.map((source) => sourceLine(source)),
        components: ["main", "universe"],
        packages: [...new Set(packages)],
        variant: checkRelease(given.value("variant") ?? "minbase"),
        locale: null,
        keyrings: [],
      },
      rootfs: place.rootfs,
      idmap,
      refresh: given.has("flush-cache"),
      finish: async (root) => {
        await finishUbuntu(root, { ...container, keys: await keys });
      },
    },
    fillOptions(host),
  );
  const own = [`lxc.uts.name = ${place.name}`, `lxc.arch = ${architecture === "i386" ? "i686" : architecture}`];
  const text = arrangedConfig(withAddress(config), place.documented, commonLines("ubuntu", release, idmap), own);
  const bound = bindLines(login).map((line) => `${line}\n`);
  await writeFile(place.config, text + bound.join(""));
  if (authKey !== null && login.kind === "new")
    host.write(1, `Inserted SSH public key from ${authKeyFile ?? ""} into /home/${login.name}/.ssh/authorized_keys\n`);
  tellLogin(host, login, given.has("password"));
};
