import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmdirSync } from "node:fs";
import { cleanup, type Cleaner } from "./cleanup.js";
import { command, type CommandOptions, type CommandResult, ok, programOf } from "./command.js";
import { end } from "./host.js";
import { waitFor } from "./wait.js";

/** A machine on which nobody has configured anything: islet's own places, LXC's files and the network are all its own and empty. */
export interface Fresh {
  /** A process that lives there. */
  readonly pid: number;
  readonly command: (argv: readonly string[], options?: CommandOptions) => Promise<CommandResult>;
  readonly ok: (argv: readonly string[], options?: CommandOptions) => Promise<string>;
}

const hidden = ["/run/islet", "/var/lib/lxc", "/var/lib/misc", "/etc/lxc", "/etc/default"];

/** What still runs in the containers of these names at the end is killed, then the daemon. */
export async function fresh(t: Cleaner, names: readonly string[]): Promise<Fresh> {
  const made = hidden.filter((each) => !existsSync(each));
  for (const each of made) mkdirSync(each);
  const defer = cleanup(t);
  defer(() => {
    for (const each of made) rmdirSync(each);
  });
  const mounts = hidden.map((each) => `mount -t tmpfs -o mode=755 none ${each}`);
  const script = [...mounts, "ip link set lo up", "exec sleep 86400"].join(" && ");
  const holder = spawn("unshare", ["--mount", "--net", "--propagation", "private", "sh", "-c", script], {
    stdio: "ignore",
  });
  const { pid } = holder;
  if (pid === undefined) throw new Error("unshare did not start");
  // Nothing of the caller's, above all no runtime directory: the daemon that a command starts is the machine's.
  const within = ([name = "", ...words]: readonly string[]): readonly string[] => [
    "nsenter",
    `--mount=/proc/${pid}/ns/mnt`,
    `--net=/proc/${pid}/ns/net`,
    "--",
    "env",
    "-u",
    "ISLET_RUNTIME_DIR",
    programOf(name),
    ...words,
  ];
  const self: Fresh = {
    pid,
    command: (argv, options) => command(within(argv), options),
    ok: (argv, options) => ok(within(argv), options),
  };
  const inThere = (file: string): string => {
    try {
      return readFileSync(`/proc/${pid}/root${file}`, "utf8").trim();
    } catch {
      return "";
    }
  };
  defer(async () => {
    for (const name of names) await self.command(["lxc-stop", "-k", "-n", name]);
    await self.command(["islet", "net", "down", "--force"]);
    end(Number(inThere("/run/islet/daemon.pid")), "SIGTERM");
    await waitFor("the daemon's end", () => inThere("/run/islet/daemon.pid") === "");
    holder.kill("SIGKILL");
  });
  await waitFor("the last mount", () =>
    readFileSync(`/proc/${pid}/mountinfo`, "utf8").includes(` ${hidden.at(-1) ?? ""} rw`),
  );
  await waitFor("lo", async () => (await self.ok(["ip", "link", "show", "lo"])).includes("LOWER_UP"));
  return self;
}
