import type { AptSource } from "../../../spec/apt-source.js";
import { type KnownRelease, sourceOf, type SourceWords } from "./apt-host.js";
import type { Sources } from "./debian-sources.js";

/** Where the packages of an Ubuntu container come from, and which. */

export const ubuntuKeyring = "/usr/share/keyrings/ubuntu-archive-keyring.gpg";
/** Where distro-info-data does not say. */
const lastKnownLts = "noble";

export interface UbuntuChoice {
  readonly release: string;
  /** As dpkg has it. */
  readonly architecture: string;
  readonly mirror: string | null;
  readonly securityMirror: string | null;
  readonly keyring: string | null;
  readonly host: readonly AptSource[];
}

/** The latest release with long-term support. `today`: 2024-04-25. */
export function latestLts(releases: readonly KnownRelease[], today: string): string {
  const known = releases.filter(
    (each) => each.version.includes("LTS") && each.released !== "" && each.released <= today,
  );
  return known.at(-1)?.series ?? lastKnownLts;
}

const isUbuntu = (source: AptSource): boolean =>
  /\/ubuntu(-ports)?\/?$/.test(source.uri) && source.components.includes("main");

const components = ["main", "restricted", "universe", "multiverse"];

/** The host's mirrors where it is an Ubuntu of the same kind of architecture; those given take their place. */
export function ubuntuSources(choice: UbuntuChoice): Sources {
  const { release, architecture, mirror, securityMirror, keyring } = choice;
  const isPort = !["amd64", "i386"].includes(architecture);
  const own = choice.host.filter((source) => isUbuntu(source) && source.uri.includes("ubuntu-ports") === isPort);
  const main = own.find((source) => !source.suite.includes("-"));
  const security = own.find((source) => source.suite.endsWith("-security"));
  const ports = "http://ports.ubuntu.com/ubuntu-ports";
  const wish = { keyring, components, usualKeyring: ubuntuKeyring };
  const of = (...where: SourceWords): AptSource => sourceOf(wish, ...where);
  const first = of(mirror, main, isPort ? ports : "http://archive.ubuntu.com/ubuntu", release);
  const all = [
    first,
    { ...first, suite: `${release}-updates` },
    of(securityMirror, security, isPort ? ports : "http://security.ubuntu.com/ubuntu", `${release}-security`),
  ];
  return { build: all, written: all };
}

/** Releases whose network is set up by ifupdown; all later ones have netplan. */
const withIfupdown: ReadonlySet<string> = new Set([
  "lucid", "maverick", "natty", "oneiric", "precise", "quantal", "raring", "saucy", "trusty", "utopic", "vivid", "wily", "xenial", "yakkety",
  "zesty",
]); // prettier-ignore
/** Releases whose systemd has its resolver within. */
const withResolver: ReadonlySet<string> = new Set([
  "artful",
  "bionic",
  "cosmic",
  "disco",
  "eoan",
  "focal",
  "groovy",
  "hirsute",
  "impish",
  "jammy",
  "kinetic",
]);

/** Releases from before 16.04, whose init is upstart. */
const withUpstart = (release: string): boolean =>
  withIfupdown.has(release) && !/^(vivid|wily|xenial|yakkety|zesty)$/.test(release);

/** `trim`: none that a container can do without. */
export function ubuntuPackages(release: string, trim: boolean): readonly string[] {
  const network = withIfupdown.has(release)
    ? ["ifupdown", "isc-dhcp-client"]
    : ["netplan.io", ...(withResolver.has(release) ? [] : ["systemd-resolved"])];
  return [
    ...network,
    withUpstart(release) ? "upstart" : "init",
    "apt-transport-https",
    "ca-certificates",
    "dbus",
    "iproute2",
    "iputils-ping",
    "language-pack-en",
    "locales",
    "netbase",
    "openssh-server",
    "sudo",
    ...(trim ? [] : ["ssh", "vim"]),
  ];
}
