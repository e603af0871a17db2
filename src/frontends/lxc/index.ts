import type { Command } from "../../engine/engine.js";

/** How a command is got: nothing of it is loaded before it is asked for. */
export type CommandLoader = () => Promise<Command>;

/** The commands of the LXC door, by the name the client is called by. */
export const commands: Readonly<Record<string, CommandLoader>> = {
  "lxc-attach": async () => (await import("./commands/attach.js")).attach,
  "lxc-autostart": async () => (await import("./commands/autostart.js")).autostart,
  "lxc-backup": async () => (await import("./commands/backup.js")).backup,
  "lxc-cgroup": async () => (await import("./commands/cgroup.js")).cgroup,
  "lxc-checkconfig": async () => (await import("./commands/checkconfig.js")).checkconfig,
  "lxc-clone": async () => (await import("./commands/clone.js")).clone,
  "lxc-config": async () => (await import("./commands/config.js")).config,
  "lxc-console": async () => (await import("./commands/console.js")).console,
  "lxc-copy": async () => (await import("./commands/copy.js")).copy,
  "lxc-create": async () => (await import("./commands/create.js")).create,
  "lxc-destroy": async () => (await import("./commands/destroy.js")).destroy,
  "lxc-device": async () => (await import("./commands/device.js")).device,
  "lxc-execute": async () => (await import("./commands/execute.js")).execute,
  "lxc-freeze": async () => (await import("./commands/freeze.js")).freeze,
  "lxc-info": async () => (await import("./commands/info.js")).info,
  "lxc-kill": async () => (await import("./commands/kill.js")).kill,
  "lxc-list": async () => (await import("./commands/list.js")).list,
  "lxc-ls": async () => (await import("./commands/ls.js")).ls,
  "lxc-monitor": async () => (await import("./commands/monitor.js")).monitor,
  "lxc-netstat": async () => (await import("./commands/netstat.js")).netstat,
  "lxc-ps": async () => (await import("./commands/ps.js")).ps,
  "lxc-restore": async () => (await import("./commands/backup.js")).restore,
  "lxc-shutdown": async () => (await import("./commands/shutdown.js")).shutdown,
  "lxc-snapshot": async () => (await import("./commands/snapshot.js")).snapshot,
  "lxc-start": async () => (await import("./commands/start.js")).start,
  "lxc-start-ephemeral": async () => (await import("./commands/start-ephemeral.js")).startEphemeral,
  "lxc-stop": async () => (await import("./commands/stop.js")).stop,
  "lxc-top": async () => (await import("./commands/top.js")).top,
  "lxc-unfreeze": async () => (await import("./commands/freeze.js")).unfreeze,
  "lxc-unshare": async () => (await import("./commands/unshare.js")).unshare,
  "lxc-update-config": async () => (await import("./commands/update-config.js")).updateConfig,
  "lxc-user-nic": async () => (await import("./commands/user-nic.js")).userNic,
  "lxc-usernsexec": async () => (await import("./commands/usernsexec.js")).usernsexec,
  "lxc-version": async () => (await import("./commands/version.js")).version,
  "lxc-wait": async () => (await import("./commands/wait.js")).wait,
  islet: async () => (await import("./commands/islet.js")).islet(commands),
};

/** A template that is called by itself, as `lxc-debian`; null: there is none of that name built in. */
export async function templateCommand(name: string): Promise<CommandLoader | null> {
  if (!name.startsWith("lxc-")) return null;
  const template = name.slice("lxc-".length);
  const { builtinTemplates } = await import("./templates/builtin.js");
  if (!Object.hasOwn(builtinTemplates, template)) return null;
  return async () => (await import("./templates/direct.js")).directTemplate(template);
}
