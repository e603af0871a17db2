import type { Command } from "../../engine/engine.js";

/** How a command is got: nothing of it is loaded before it is asked for. */
export type CommandLoader = () => Promise<Command>;

/** The commands of the LXC door, by the name the client is called by. */
export const commands: Readonly<Record<string, CommandLoader>> = {
  "lxc-attach": async () => (await import("./commands/attach.js")).attach,
  "lxc-create": async () => (await import("./commands/create.js")).create,
  "lxc-destroy": async () => (await import("./commands/destroy.js")).destroy,
  "lxc-device": async () => (await import("./commands/device.js")).device,
  "lxc-execute": async () => (await import("./commands/execute.js")).execute,
  "lxc-info": async () => (await import("./commands/info.js")).info,
  "lxc-ls": async () => (await import("./commands/ls.js")).ls,
  "lxc-netstat": async () => (await import("./commands/netstat.js")).netstat,
  "lxc-ps": async () => (await import("./commands/ps.js")).ps,
  "lxc-start": async () => (await import("./commands/start.js")).start,
  "lxc-stop": async () => (await import("./commands/stop.js")).stop,
  "lxc-top": async () => (await import("./commands/top.js")).top,
  "lxc-unshare": async () => (await import("./commands/unshare.js")).unshare,
  "lxc-usernsexec": async () => (await import("./commands/usernsexec.js")).usernsexec,
  islet: async () => (await import("./commands/islet.js")).islet(commands),
};
