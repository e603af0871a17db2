import type { Command } from "../../engine/engine.js";

/** How a command is got: nothing of it is loaded before it is asked for. */
export type CommandLoader = () => Promise<Command>;

/** The commands of the LXC door, by the name the client is called by. */
export const commands: Readonly<Record<string, CommandLoader>> = {
  "lxc-attach": async () => (await import("./commands/attach.js")).attach,
  "lxc-cgroup": async () => (await import("./commands/cgroup.js")).cgroup,
  "lxc-create": async () => (await import("./commands/create.js")).create,
  "lxc-destroy": async () => (await import("./commands/destroy.js")).destroy,
  "lxc-execute": async () => (await import("./commands/execute.js")).execute,
  "lxc-freeze": async () => (await import("./commands/freeze.js")).freeze,
  "lxc-info": async () => (await import("./commands/info.js")).info,
  "lxc-kill": async () => (await import("./commands/kill.js")).kill,
  "lxc-ls": async () => (await import("./commands/ls.js")).ls,
  "lxc-monitor": async () => (await import("./commands/monitor.js")).monitor,
  "lxc-shutdown": async () => (await import("./commands/shutdown.js")).shutdown,
  "lxc-start": async () => (await import("./commands/start.js")).start,
  "lxc-stop": async () => (await import("./commands/stop.js")).stop,
  "lxc-unfreeze": async () => (await import("./commands/freeze.js")).unfreeze,
  "lxc-wait": async () => (await import("./commands/wait.js")).wait,
  islet: async () => (await import("./commands/islet.js")).islet(commands),
};
