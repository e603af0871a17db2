import { withPassword } from "../../../spec/accounts.js";
import type { RootEditor } from "../../../spec/image.js";
import { readAccounts, writeAccounts } from "./account-files.js";
import { maskUnits, setGettys } from "./debian-root.js";
import { setTimezone } from "./distro.js";

/** What makes a container of a Fedora root file system: what LXC's template for Fedora changes in it. */

export interface FedoraContainer {
  readonly hostname: string;
  readonly timezone: string | null;
  /** What crypt(5) made of root's first password, which has to be changed at the first login. */
  readonly hash: string;
  readonly masksTmp: boolean;
}

/** LXC's file for Fedora gives so many ttys. */
const ttys = 4;
const units = "/etc/systemd/system";

const ifcfg = `DEVICE=eth0
BOOTPROTO=dhcp
ONBOOT=yes
TYPE=Ethernet
`;

function setNetwork(root: RootEditor, hostname: string): void {
  const unit = (name: string): string => `/usr/lib/systemd/system/${name}`;
  if (!root.exists(unit("systemd-networkd.service"))) {
    // From before systemd had a network of its own.
    root.write("/etc/sysconfig/network-scripts/ifcfg-eth0", ifcfg);
    root.write("/etc/sysconfig/network", `NETWORKING=yes\nHOSTNAME=${hostname}\n`);
    return;
  }
  root.write("/etc/systemd/network/eth0.network", "[Match]\nName=eth0\n\n[Network]\nDHCP=yes\n");
  const wanted: Readonly<Record<string, readonly string[]>> = {
    "sockets.target": ["systemd-networkd.socket"],
    "multi-user.target": ["systemd-networkd.service", "systemd-resolved.service"],
    "network-online.target": ["systemd-networkd-wait-online.service"],
  };
  for (const [target, names] of Object.entries(wanted)) {
    root.directory(`${units}/${target}.wants`);
    for (const name of names) if (root.exists(unit(name))) root.link(`${units}/${target}.wants/${name}`, unit(name));
  }
  if (root.exists(unit("systemd-resolved.service"))) root.link("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf");
}

export function finishFedora(root: RootEditor, container: FedoraContainer): void {
  const { hostname } = container;
  root.change("/etc/selinux/config", (text) => text.replace(/^SELINUX=.*/m, "SELINUX=disabled"));
  root.write("/etc/hostname", `${hostname}\n`);
  root.write(
    "/etc/hosts",
    `127.0.0.1  localhost.localdomain   localhost  ${hostname}\n::1        localhost6.localdomain6 localhost6\n`,
  );
  setTimezone(root, container.timezone);
  root.change(
    "/etc/securetty",
    (text) =>
      `${text}# LXC (Linux Containers)\nlxc/console\n${["1", "2", "3", "4"].map((tty) => `lxc/tty${tty}\n`).join("")}pts/0\n`,
  );
  writeAccounts(root, withPassword(readAccounts(root), "root", container.hash, null));
  if (root.exists("/usr/lib/systemd/systemd")) {
    root.write("/etc/machine-id", "");
    root.link(`${units}/default.target`, "/usr/lib/systemd/system/multi-user.target");
    setGettys(root, ttys);
  }
  // Made at the first start: no other container has the same.
  for (const name of root.list("/etc/ssh")) if (/^ssh_host_.*key/.test(name)) root.remove(`/etc/ssh/${name}`);
  setNetwork(root, hostname);
  if (container.masksTmp) maskUnits(root, ["tmp.mount"]);
}
