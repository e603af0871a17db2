import { randomBytes } from "node:crypto";
import { readFile, readlink, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { IsletError } from "../../../base/errors.js";
import type { Caller, Engine } from "../../../engine/engine.js";
import type { RootEditor } from "../../../spec/image.js";
import type { OptionRow, ParsedOptions } from "../commands/getopt.js";
import type { TemplateCall, TemplateHost } from "./builtin.js";
import { callOptions } from "./caller-options.js";

/** What the templates of distributions have in common. */

export interface Place {
  readonly name: string;
  /** The container's directory. */
  readonly path: string;
  readonly config: string;
  /** As the configuration is to have it. */
  readonly documented: string;
  /** Where it is to be filled. */
  readonly rootfs: string;
}

/** `null`: the help has been printed. ISLET_BAD_REQUEST, with the usage on standard error. */
export function templateOptions(
  template: string,
  options: readonly OptionRow[],
  usage: string,
  call: Pick<TemplateCall, "argv" | "host">,
): ParsedOptions | null {
  const parsed = callOptions(template, options, usage, call, 2);
  const [word] = parsed?.operands ?? [];
  if (word !== undefined)
    throw new IsletError("ISLET_BAD_REQUEST", `lxc-${template}: "${word}" is none of its options`, {
      hint: `lxc-create -t ${template} -h lists them`,
    });
  return parsed;
}

/** Where the container is made; the directories are there, or are made. */
export async function placeOf(options: ParsedOptions, { host, root }: TemplateCall): Promise<Place> {
  const given = options.value("path") ?? "";
  const name = options.value("name") ?? "";
  if (given === "") throw new IsletError("ISLET_BAD_REQUEST", "'path' parameter is required");
  if (name === "") throw new IsletError("ISLET_BAD_REQUEST", "'name' parameter is required");
  const path = resolve(host.caller.cwd, given);
  const config = `${path}/config`;
  const text = await readConfig(config);
  const configured = /^lxc\.rootfs\.path[ \t]*=[ \t]*(?:dir:)?(\/\S+)/m.exec(text)?.[1];
  const documented = options.value("rootfs") ?? configured ?? `${path}/rootfs`;
  return { name, path, config, documented, rootfs: root ?? resolve(host.caller.cwd, documented) };
}

/** "" where there is none yet. */
export const readConfig = (file: string): Promise<string> => readFile(file, "utf8").catch(() => "");

/** As dpkg calls it. */
export const hostArchitecture: string = process.arch === "x64" ? "amd64" : process.arch;

const otherNames: Readonly<Record<string, string>> = {
  i486: "i386",
  i586: "i386",
  i686: "i386",
  x86: "i386",
  x86_64: "amd64",
  aarch64: "arm64",
  armv7l: "armhf",
  ppc64le: "ppc64el",
};

/** An architecture by any name, as dpkg has it. ISLET_BAD_REQUEST: this is no name. */
export function architectureOf(text: string): string {
  const name = otherNames[text] ?? text;
  if (!/^[a-z0-9]+$/.test(name)) throw new IsletError("ISLET_BAD_REQUEST", `"${text}" is no architecture`);
  return name;
}

/** A release as it may stand in a command line and in a name. ISLET_BAD_REQUEST. */
export function checkRelease(release: string): string {
  if (/^[A-Za-z0-9][\w.+-]*$/.test(release)) return release;
  throw new IsletError("ISLET_BAD_REQUEST", `"${release}" is no name of a release`);
}

/** Names of packages, with commas or blanks between them. ISLET_BAD_REQUEST. */
export function packageList(text: string | null): readonly string[] {
  const names = (text ?? "").split(/[\s,]+/).filter((name) => name !== "");
  const wrong = names.find((name) => !/^[A-Za-z0-9][\w.+:@=~-]*$/.test(name));
  if (wrong !== undefined) throw new IsletError("ISLET_BAD_REQUEST", `"${wrong}" is no name of a package`);
  return names;
}

/** Where packages may come from. ISLET_BAD_REQUEST. */
export function checkUrl(url: string): string {
  if (/^(https?|file|ftp|copy|tor\+https?|mirror\+\w+):[^\s"'[\]]+$/.test(url)) return url.replace(/\/+$/, "");
  throw new IsletError("ISLET_BAD_REQUEST", `"${url}" is no URL of a mirror`, {
    hint: "such as http://HOST/debian",
  });
}

/** A file of the caller's. */
export async function readCallerFile(file: string, caller: Caller, what: string): Promise<string> {
  const path = resolve(caller.cwd, file);
  const size = await stat(path).then(
    (found) => (found.isFile() ? found.size : -1),
    () => -1,
  );
  if (size < 0) throw new IsletError("ISLET_BAD_REQUEST", `${what} '${file}' not found`);
  if (size > 1 << 20) throw new IsletError("ISLET_BAD_REQUEST", `${what} '${file}' is larger than 1 MiB`);
  return await readFile(path, "utf8");
}

/** A public key for -S; a private one by mistake is refused. ISLET_BAD_REQUEST. */
export async function readAuthKey(file: string, caller: Caller): Promise<string> {
  const text = await readCallerFile(file, caller, "SSH keyfile");
  if (!file.endsWith(".pub"))
    throw new IsletError("ISLET_BAD_REQUEST", `SSH keyfile '${file}' does not end with '.pub'`);
  if (text.includes("PRIVATE KEY")) throw new IsletError("ISLET_BAD_REQUEST", `SSH keyfile '${file}' is a private key`);
  return text.endsWith("\n") ? text : `${text}\n`;
}

/** The host's, such as Europe/Berlin; null: it is not known. */
export async function hostTimezone(): Promise<string | null> {
  const named = (await readFile("/etc/timezone", "utf8").catch(() => "")).trim();
  const linked = /\/zoneinfo\/(.+)$/.exec(await readlink("/etc/localtime").catch(() => ""))?.[1];
  const zone = named === "" ? (linked ?? "") : named;
  return /^[A-Za-z0-9_+-]+(\/[A-Za-z0-9_+-]+)*$/.test(zone) ? zone : null;
}

export function setTimezone(root: RootEditor, zone: string | null): void {
  if (zone === null || !root.exists(`/usr/share/zoneinfo/${zone}`)) return;
  root.write("/etc/timezone", `${zone}\n`);
  root.link("/etc/localtime", `/usr/share/zoneinfo/${zone}`);
}

/** Values of the host's os-release(5) by name. */
export async function hostRelease(): Promise<ReadonlyMap<string, string>> {
  const text = await readFile("/etc/os-release", "utf8").catch(() => "");
  return new Map(
    text.split("\n").flatMap((line) => {
      const match = /^([A-Z_]+)="?([^"]*)"?$/.exec(line.trim());
      return match === null ? [] : [[match[1] ?? "", match[2] ?? ""] as const];
    }),
  );
}

/** The locale for an image: the caller's where it is one of UTF-8, else American English, as LXC's templates have it. */
export function localeOf(caller: Caller): string {
  const lang = caller.environment["LANG"] ?? "";
  const match = /^([a-z]{2,3}_[A-Z]{2})\.utf-?8(@[a-z]+)?$/i.exec(lang);
  return match === null || match[2] !== undefined ? "en_US.UTF-8" : `${match[1] ?? "en_US"}.UTF-8`;
}

/** A MAC address of those that Xen uses for guests, as LXC's templates give them. */
function randomAddress(): string {
  const [a = "00", b = "00", c = "00"] = Array.from(randomBytes(3), (byte) => byte.toString(16).padStart(2, "0"));
  return `00:16:3e:${a}:${b}:${c}`;
}

/** The first nic, where it is a veth without an address, gets one behind the line with its type. */
export function withAddress(config: string, address: () => string = randomAddress): string {
  if (/^lxc\.net\.0\.hwaddr/m.test(config)) return config;
  const types = config.match(/^lxc\.net\.0\.type[ \t]*=[ \t]*veth.*$/gm) ?? [];
  if (types.length !== 1) return config;
  return config.replace(
    /^lxc\.net\.0\.type[ \t]*=[ \t]*veth.*$/m,
    (line) => `${line}\nlxc.net.0.hwaddr = ${address()}`,
  );
}

/** Takes images out of the cache: all of a distribution, or those that `wanted` says. */
export async function purge(engine: Engine, host: TemplateHost, distribution: string): Promise<void> {
  host.write(1, "Purging the download cache...");
  const gone = await engine.pruneImages((image) => image.distribution === distribution);
  host.write(1, "Done.\n");
  const left = (await engine.images()).filter(
    (image) => image.distribution === distribution && !gone.includes(image.name),
  );
  for (const image of left) host.write(2, `${image.name} is in use and stays\n`);
}
