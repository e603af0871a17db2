import { closeSync } from "node:fs";
import { closeFd } from "../../host/addon.js";
import { monitorFrames, writer } from "../../host/protocol.js";
import { socketPair } from "../../host/socket.js";
import { planAttach, planHostCommand } from "../../plan/attach.js";
import { planOpen } from "../../plan/open.js";
import { planUnshare } from "../../plan/unshare.js";
import { notRunning, whenKnown } from "../../runtime/monitors.js";
import { attachRequest, attachTargetOf } from "../attach.js";
import { clientTask } from "../client-task.js";
import { environmentStrings } from "../commands.js";
import { openNamespacesOf } from "../namespace-files.js";
import { openRoot } from "../open.js";
import { outputSocket } from "../processes.js";
import { outerTerminals, takeTerminal } from "../terminal.js";
import { unshareRequest } from "../unshare.js";
import type { Requests } from "./groups.js";
import { running, started, startedPid } from "./living.js";
import type { EngineParts } from "./parts.js";

export function enteringRequests({ host, binary, registry }: EngineParts): Requests<"enter"> {
  return {
    async attach(id, wanted) {
      const monitor = started(registry, id);
      await whenKnown(monitor);
      if (monitor.pidfd === null || monitor.pid === null) throw notRunning(id.name);
      const program = planAttach(
        attachTargetOf(monitor.meta),
        attachRequest(host.arch, monitor.meta, monitor.pid, wanted),
        host,
      );
      return clientTask(program, [monitor.pidfd, ...(wanted.terminalLog === undefined ? [] : [wanted.terminalLog])]);
    },
    openNamespaces: async (id) => openNamespacesOf(await startedPid(registry, id)),
    hostCommand: (argv, caller, extra, mount = null) => {
      const environment = environmentStrings({ ...caller.environment, ...extra });
      const presets = { output: false, network: false, mountAt: mount?.path ?? null };
      const program = planHostCommand(argv, environment, caller.cwd, host, presets);
      return Promise.resolve(clientTask(program, mount === null ? [] : [mount.descriptor]));
    },
    async hostOutput(argv, caller, networkOf) {
      let network: number | null = null;
      if (networkOf !== null) {
        const monitor = started(registry, networkOf);
        await whenKnown(monitor);
        if (monitor.pidfd === null) throw notRunning(networkOf.name);
        network = monitor.pidfd;
      }
      const environment = environmentStrings(caller.environment);
      const program = planHostCommand(argv, environment, caller.cwd, host, {
        output: true,
        network: network !== null,
        mountAt: null,
      });
      const { output, theirs } = outputSocket(host.arch);
      const task = clientTask(program, network === null ? [theirs] : [theirs, network]);
      return { task, output, handedOver: () => void closeFd(theirs) };
    },
    unshare: (wanted) => Promise.resolve(clientTask(planUnshare(unshareRequest(wanted), host), [])),
    async lookUp(id, spec, path, follow) {
      const monitor = registry.get(id);
      if (monitor !== undefined) await whenKnown(monitor);
      const { root, idmap } = await openRoot(host, binary, monitor?.pid ?? null, spec);
      return {
        task: clientTask(planOpen(path, follow, host), [root]),
        idmap,
        handedOver: () => {
          closeSync(root);
        },
      };
    },
    console: (id, wanted) => {
      const monitor = running(registry, id);
      const [ours, theirs] = socketPair(host.arch);
      monitor.channel.send(
        monitorFrames.console,
        writer()
          .u32(wanted.replay ? 1 : 0)
          .finish(),
        [theirs],
        true,
      );
      return Promise.resolve(ours);
    },
    resizeConsole: (id, rows, columns) => {
      registry.get(id)?.channel.send(monitorFrames.resize, writer().u16(rows).u16(columns).finish());
      return Promise.resolve();
    },
    async outerTerminals(id) {
      const { meta } = running(registry, id);
      return meta.outer === true ? await outerTerminals(host, meta) : [];
    },
    takeTerminal: (id, number) => takeTerminal(host, running(registry, id).meta, number),
  };
}
