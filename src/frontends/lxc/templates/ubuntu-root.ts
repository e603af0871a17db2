import { basename } from "node:path";
import { entryOf, freeId, withForeignUser, withGroup, withUser } from "../../../spec/accounts.js";
import type { AptSource } from "../../../spec/apt-source.js";
import type { RootEditor } from "../../../spec/image.js";
import { joinGroup, makeHome, readAccounts, writeAccounts } from "./account-files.js";
import { debianInterfaces, maskUnits, setAuthorizedKeys, setGettys, setIdentity, setSources } from "./debian-root.js";
import { setTimezone } from "./distro.js";
import type { HostKeys } from "./ssh-keys.js";

/** What makes a container of an Ubuntu root file system: what LXC's template for Ubuntu changes in it. */

/** A user of the host's, as passwd(5), shadow(5) and group(5) have them. */
export interface HostUser {
  readonly passwd: string;
  readonly shadow: string | null;
  /** Line of the user's own group; null: the host has none. */
  readonly group: string | null;
}

export type Login =
  | { readonly kind: "new"; readonly name: string; readonly hash: string }
  | { readonly kind: "host"; readonly name: string; readonly user: HostUser };

export interface UbuntuContainer {
  readonly name: string;
  readonly timezone: string | null;
  readonly locale: string;
  readonly login: Login;
  readonly authKey: string | null;
  readonly keys: HostKeys;
  readonly sources: readonly AptSource[];
  readonly keyring: string | null;
  readonly trim: boolean;
  readonly notice: (text: string) => void;
}

/** LXC's file for Ubuntu gives so many ttys. */
const ttys = 4;

const netplan = `network:
  version: 2
  ethernets:
    eth0: {dhcp4: true}
`;

/** What works on the host's hardware, or does what the host does anyway. */
const needless = [
  "apt-daily.timer",
  "apt-daily-upgrade.timer",
  "e2scrub_all.timer",
  "fstrim.timer",
  "motd-news.timer",
  "systemd-udevd.service",
  "systemd-timesyncd.service",
  "ondemand.service",
  "rsyslog.service",
  "cron.service",
] as const;

/** Shells that every Ubuntu has, or that are no programs of a package of their own. */
const usualShells: ReadonlySet<string> = new Set(["sh", "bash", "dash", "rbash", "false", "true", "nologin", "sync"]);

/** The package that a shell comes in: it has the shell's name. */
export function shellPackages(login: Login): readonly string[] {
  if (login.kind === "new") return [];
  const shell = basename(login.user.passwd.split(":")[6] ?? "");
  return usualShells.has(shell) || !/^[a-z][a-z0-9+.-]+$/.test(shell) ? [] : [shell];
}

function setLogin(root: RootEditor, { login, authKey, notice }: UbuntuContainer): void {
  let accounts = readAccounts(root);
  const { name } = login;
  if (login.kind === "new") {
    const there = entryOf(accounts.passwd, name);
    const uid = there === null ? freeId(accounts, 1000) : Number(there[2]);
    accounts = withGroup(accounts, name, uid);
    const gid = Number(entryOf(accounts.group, name)?.[2] ?? uid);
    const home = `/home/${name}`;
    accounts = withUser(
      accounts,
      { name, uid, gid, gecos: "", home, shell: "/bin/bash", hash: login.hash },
      Date.now(),
    );
    writeAccounts(root, joinGroup(accounts, "sudo", name));
    makeHome(root, home, uid, gid);
    if (authKey !== null) setAuthorizedKeys(root, home, authKey, { uid, gid });
    return;
  }
  const { passwd, shadow, group } = login.user;
  const [, , uid = "0", gid = "0", , home = "", shell = ""] = passwd.split(":");
  accounts = withForeignUser(accounts, passwd, shadow);
  const [groupName = "", , groupId = ""] = group?.split(":") ?? [];
  if (groupName !== "") accounts = withGroup(accounts, groupName, Number(groupId));
  writeAccounts(root, joinGroup(accounts, "sudo", name));
  root.directory(home, { mode: 0o750, uid: Number(uid), gid: Number(gid) });
  if (shell !== "" && !root.exists(shell)) notice(`shell ${shell} for user ${name} was not found in the container`);
}

export async function finishUbuntu(root: RootEditor, container: UbuntuContainer): Promise<void> {
  const { name, locale } = container;
  if (root.exists("/usr/sbin/netplan")) root.write("/etc/netplan/10-lxc.yaml", netplan, { mode: 0o600 });
  else root.write("/etc/network/interfaces", debianInterfaces);
  setIdentity(root, name, container.keys);
  setTimezone(root, container.timezone);
  root.write("/etc/default/locale", `LANG=${locale}\n`);
  // Upstart's: there are four.
  for (const tty of [5, 6]) root.remove(`/etc/init/tty${tty}.conf`);
  // Later releases bring their sources in a file of the other form, for mirrors that may not be these.
  root.remove("/etc/apt/sources.list.d/ubuntu.sources");
  setSources(root, container.sources);
  if (container.keyring !== null)
    await root.copyIn(container.keyring, `/etc/apt/trusted.gpg.d/lxc-create-${basename(container.keyring)}`, {
      mode: 0o644,
    });
  setGettys(root, ttys);
  if (container.trim) maskUnits(root, needless);
  setLogin(root, container);
}
