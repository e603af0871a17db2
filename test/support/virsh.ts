import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Cleaner } from "./cleanup.js";
import type { CommandOptions, CommandResult } from "./command.js";
import { instance, type Instance, type InstanceOptions } from "./instance.js";
import { busyboxRootfs } from "./store.js";

/** A daemon of the test's own as libvirt's clients find it: by the URI that they use every day, `lxc:///system`. */
export interface VirshPlace {
  readonly own: Instance;
  /** The daemon's own socket, and the directory in which it stands in for libvirtd's. */
  readonly socket: string;
  readonly sockets: string;
  /** Where it looks for libvirt's hooks; the directory is not there yet. */
  readonly hooks: string;
  /** Where it keeps the logs of domains. */
  readonly logs: string;
  /** Where it looks for libvirt's lxc.conf; it is not there yet. */
  readonly lxcConf: string;
  /** virsh -c lxc:///system WORDS. */
  readonly virsh: (words: readonly string[], options?: CommandOptions) => Promise<CommandResult>;
  /** Its standard output; fails when its status is not 0. */
  readonly ok: (...words: readonly string[]) => Promise<string>;
  /** Any program that speaks to libvirt, where /run/libvirt is the daemon's. */
  readonly command: (argv: readonly string[], options?: CommandOptions) => Promise<CommandResult>;
  /** A root file system of busybox. */
  readonly rootfs: (name: string) => string;
  /** Words before a command line that is to see /run/libvirt so. */
  readonly within: readonly string[];
}

/** In a mount namespace of its own /run is empty but for the daemon's sockets. */
const wrapper = `mount -t tmpfs islt-run /run && mkdir /run/libvirt && mount --bind "$0" /run/libvirt && exec "$@"`;

/** `netnsPid`, `mntnsPid`: processes in whose network and mount namespaces all of it is. `env`: more of the daemon's environment. */
export async function virshPlace(
  t: Cleaner,
  { env: more = {}, ...place }: Pick<InstanceOptions, "netnsPid" | "mntnsPid" | "env"> = {},
): Promise<VirshPlace> {
  const options = { env: {} as Record<string, string> };
  const own = await instance(t, {
    ...place,
    get env() {
      return options.env;
    },
    prepare: (above) => {
      const sockets = join(above, "libvirt");
      mkdirSync(sockets);
      options.env = {
        ISLET_LIBVIRT_SOCKETS: sockets,
        ISLET_LIBVIRT_STORE: join(above, "store"),
        ISLET_LIBVIRT_HOOKS: join(above, "hooks"),
        ISLET_LIBVIRT_LOGS: join(above, "logs"),
        ISLET_LIBVIRT_LXC_CONF: join(above, "lxc.conf"),
        ...more,
      };
    },
  });
  const above = join(own.store.path, "..");
  const sockets = join(above, "libvirt");
  const within = ["unshare", "-m", "--propagation", "private", "sh", "-c", wrapper, sockets];
  const command: VirshPlace["command"] = (argv, given) => own.command([...within, ...argv], given);
  const virsh: VirshPlace["virsh"] = (words, given) => command(["virsh", "-c", "lxc:///system", ...words], given);
  return {
    own,
    sockets,
    hooks: join(above, "hooks"),
    logs: join(above, "logs"),
    lxcConf: join(above, "lxc.conf"),
    socket: join(own.runtimeDir, "libvirt-sock"),
    within,
    command,
    virsh,
    ok: async (...words) => {
      const { status, stdout, stderr } = await virsh(words, { timeout: 60_000 });
      if (status !== 0) throw new Error(`virsh ${words.join(" ")}: status ${status}\n${stdout}${stderr}`);
      return stdout;
    },
    rootfs: (name) => {
      const root = join(above, `root-${name}`);
      mkdirSync(root);
      busyboxRootfs(root);
      return root;
    },
  };
}
