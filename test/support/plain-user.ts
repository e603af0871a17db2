import { spawn } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { cleanup, type Cleaner } from "./cleanup.js";
import { command, ok, type CommandOptions, type CommandResult } from "./command.js";
import { type HostUser, hostUsers } from "./host-users.js";
import { instance, type Instance } from "./instance.js";
import { netns, type Netns } from "./netns.js";
import { root, testDir } from "./paths.js";
import { waitFor } from "./wait.js";

/** Users who are not root, of a host that is a network namespace with a daemon in it, and what lxc-usernet(5) grants them. */
export interface UserPlace {
  readonly net: Netns;
  readonly own: Instance;
  /** What is granted; alone in its directory. */
  readonly usernet: string;
  /** Directory of the host's passwd and group. */
  readonly accounts: string;
  /** Another daemon, after the first one was killed. */
  readonly revive: () => Promise<void>;
  /** The accounts of nics. */
  readonly nics: string;
  /** Replaces lxc-usernet, and waits until the door for users is as it has to be then. */
  readonly grant: (...lines: readonly string[]) => Promise<void>;
  /** A process of a user's in a user and a network namespace of its own; `within`: words that make others around it. */
  readonly guest: (user: HostUser, within?: readonly string[]) => Promise<number>;
  /** lxc-user-nic, where users can reach it. */
  readonly client: string;
  /** Runs a program as a user. */
  readonly as: (user: HostUser, argv: readonly string[], options?: CommandOptions) => Promise<CommandResult>;
  /** lxc-user-nic as a user; of root where `user` is null. */
  readonly userNic: (user: HostUser | null, ...words: readonly string[]) => Promise<CommandResult>;
  /** Interfaces in a process's network namespace, as `ip -o link` prints them. */
  readonly links: (pid: number) => Promise<string>;
}

export const plainUsers = {
  ann: { name: "islt-ann", id: 4711, hash: null },
  bob: { name: "islt-bob", id: 4712, hash: null },
} as const;

/** A copy of islet's client in `directory`, called lxc-user-nic: where a checkout is, others need not come. */
export function userClient(directory: string): string {
  const client = join(directory, "lxc-user-nic");
  copyFileSync(join(root, "build/islet"), client);
  chmodSync(client, 0o755);
  return client;
}

export const asUser = ({ id }: HostUser): readonly string[] => [
  "setpriv",
  `--reuid=${id}`,
  `--regid=${id}`,
  "--clear-groups",
  "--",
];

/** With the bridge isltbr0, of which the MTU is 1400. */
export async function userPlace(t: Cleaner, env: Readonly<Record<string, string>> = {}): Promise<UserPlace> {
  const net = await netns(t);
  const above = mkdtempSync(join(testDir, "islt-user-nic-"));
  const defer = cleanup(t);
  defer(() => {
    rmSync(above, { recursive: true });
  });
  chmodSync(above, 0o711);
  const etc = join(above, "etc");
  mkdirSync(etc);
  const usernet = join(etc, "lxc-usernet");
  const { accounts } = hostUsers(above, Object.values(plainUsers));
  const client = userClient(above);
  await net.ok(["ip", "link", "add", "isltbr0", "mtu", "1400", "type", "bridge"]);
  await net.ok(["ip", "link", "set", "isltbr0", "up"]);
  const daemonEnv = { ISLET_LXC_USERNET: usernet, ISLET_ACCOUNTS: accounts, ...env };
  const own = await instance(t, { netnsPid: net.pid, env: daemonEnv });
  chmodSync(dirname(own.runtimeDir), 0o711);
  const as: UserPlace["as"] = (user, argv, options = {}) =>
    command([...asUser(user), ...argv], { ...options, env: { ...options.env, ISLET_RUNTIME_DIR: own.runtimeDir } });
  return {
    net,
    own,
    usernet,
    accounts,
    client,
    async revive() {
      const before = own.pid();
      const words = [`--net=/proc/${net.pid}/ns/net`, process.execPath, join(root, "dist/src/daemon/main.js")];
      const given = { ...daemonEnv, PATH: process.env["PATH"], ISLET_RUNTIME_DIR: own.runtimeDir };
      const daemon = spawn("nsenter", words, { env: given, stdio: ["ignore", "ignore", "inherit"] });
      defer(() => void daemon.kill("SIGKILL"));
      await waitFor("another daemon", () => own.pid() !== before);
    },
    nics: join(own.runtimeDir, "nics"),
    as,
    async grant(...lines) {
      writeFileSync(usernet, lines.map((line) => `${line}\n`).join(""));
      await waitFor("the door for users", () => existsSync(join(own.runtimeDir, "user")) === lines.length > 0);
    },
    async guest(user, within = []) {
      const words = [...asUser(user), ...within, "unshare", "--map-root-user", "--net", "sleep", "86400"];
      const holder = spawn("env", words, { stdio: "ignore" });
      defer(() => void holder.kill("SIGKILL"));
      const pid = holder.pid ?? 0;
      const outside = readlinkSync("/proc/self/ns/net");
      await waitFor("a network namespace", () => {
        const [inside, mapped] = [readlinkSync(`/proc/${pid}/ns/net`), readlinkSync(`/proc/${pid}/exe`)];
        return inside !== outside && mapped.endsWith("sleep");
      });
      return pid;
    },
    userNic: (user, ...words) =>
      user === null ? own.command(["lxc-user-nic", ...words]) : as(user, [client, ...words]),
    links: (pid) => ok(["nsenter", `--net=/proc/${pid}/ns/net`, "--", "ip", "-o", "link"]),
  };
}
