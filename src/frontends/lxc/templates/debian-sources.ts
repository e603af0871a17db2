import { IsletError } from "../../../base/errors.js";
import type { AptSource } from "../../../spec/apt-source.js";
import { sourceOf, type SourceWords } from "./apt-host.js";

/** Where the packages of a Debian container come from, when it is made and later. */

export const debianKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
const defaultSecurity = "http://security.debian.org/debian-security";

export interface MirrorChoice {
  readonly release: string;
  /** Given by the user; null: as the host has it. */
  readonly mirror: string | null;
  readonly securityMirror: string | null;
  readonly keyring: string | null;
  readonly components: readonly string[];
  /** What the host's apt is told. */
  readonly host: readonly AptSource[];
  /** The mirror of Debian's that the host's bootstrap program would take by itself (bootstrapMirror); null: none is known. */
  readonly fallback: string | null;
}

export interface Sources {
  /** What the image is made of; the first is the main one. */
  readonly build: readonly AptSource[];
  /** What the container's apt is told. */
  readonly written: readonly AptSource[];
}

/** Releases without updates beside themselves. */
const rolling: ReadonlySet<string> = new Set(["sid", "unstable", "experimental", "rc-buggy"]);
/** Releases whose security updates had a name of another kind. */
const early: ReadonlySet<string> = new Set([
  "etch", "lenny", "squeeze", "wheezy", "jessie", "stretch", "buster", "oldoldoldstable",
]); // prettier-ignore

/** What the security updates of a release are called; null: there are none. */
export function securitySuite(release: string): string | null {
  if (rolling.has(release)) return null;
  return early.has(release) ? `${release}/updates` : `${release}-security`;
}

/** dhcpcd took the place of ISC's client in Debian 13. */
const withIscClient: ReadonlySet<string> = new Set([...early, "bullseye", "bookworm", "oldoldstable", "oldstable"]);

/** What LXC's template installs, and dbus and ping, which today's systemd and its users miss otherwise. */
export const debianPackages = (release: string): readonly string[] => [
  release === "wheezy" ? "sysvinit" : "init",
  "ca-certificates",
  "dbus",
  "dialog",
  "ifupdown",
  release === "wheezy" ? "iproute" : "iproute2",
  "iputils-ping",
  withIscClient.has(release) ? "isc-dhcp-client" : "dhcpcd-base",
  "locales",
  "net-tools",
  "netbase",
  "openssh-server",
];

const isSecurity = (source: AptSource): boolean => /(-security|\/updates)$/.test(source.suite);
const isDebian = (source: AptSource): boolean =>
  /\/debian(-security|-lts)?\/?$/.test(source.uri) && source.components.includes("main");

/** Is the host's apt told of a mirror of Debian's? */
export const knowsDebian = (host: readonly AptSource[]): boolean =>
  host.some((source) => isDebian(source) && !isSecurity(source));

/** The host's own mirrors, for whatever release; those given take their place. ISLET_BAD_REQUEST: no mirror is known here. */
export function debianSources(choice: MirrorChoice): Sources {
  const { release, mirror, securityMirror, keyring, components } = choice;
  const own = choice.host.filter(isDebian);
  const main = own.find((source) => !isSecurity(source));
  const security = own.find(isSecurity);
  const wish = { keyring, components, usualKeyring: debianKeyring };
  const of = (...where: SourceWords): AptSource => sourceOf(wish, ...where);
  const otherwise = mirror ?? main?.uri ?? choice.fallback;
  if (otherwise === null)
    throw new IsletError("ISLET_BAD_REQUEST", "this host knows no mirror of Debian", {
      hint: "give one: --mirror=URL, or MIRROR=URL in the environment",
    });
  const first = of(mirror, main, otherwise, release);
  // Another's mirror may have nothing but the release itself.
  const updates = mirror === null && !rolling.has(release) ? [{ ...first, suite: `${release}-updates` }] : [];
  const suite = securitySuite(release);
  const fixes = suite === null ? [] : [of(securityMirror, security, defaultSecurity, suite)];
  return {
    build: [first, ...updates, ...(mirror === null || securityMirror !== null ? fixes : [])],
    written: [first, ...updates, ...fixes],
  };
}
