import { type Block, buffer, call, cwdFd, format, imm, nil, slot } from "../program/assembler.js";
import { close, closeNow, openat } from "../program/calls.js";
import type { Rule, Slot } from "../program/ops.js";
import { EINVAL } from "../sys/errno.js";
import { O_RDONLY, PR_SET_PDEATHSIG } from "../sys/flags.js";
import { CAP_LAST_CAP } from "../sys/capability.js";
import { planProcAndSys, planSelinuxfs } from "./automount.js";
import { planBootId } from "./bootid.js";
import { dropCapabilities, noNewPrivileges } from "./capability.js";
import { type StartCgroups, joinTasks, legacyDirectories } from "./cgroup.js";
import { planBoundCgroups, planNamespacedCgroups } from "./cgroup-mount.js";
import {
  planDevpts,
  planTerminals,
  sendMasters,
  takeTerminal,
  type ConsoleSlots,
  type InsideTerminals,
} from "./console.js";
import { type StartContext, hasUserNamespace } from "./context.js";
import { planDev, populateDev, setUmask } from "./dev.js";
import { runHostHooks } from "./hooks.js";
import { populateGuestDev, takeDevices } from "./guest-dev.js";
import { lockRoot } from "./guest-root.js";
import { planKernelDirectories } from "./guest-sys.js";
import { openGuestApi, planGuestApi } from "./guest-api.js";
import { becomeRoot, mapIds } from "./idmap.js";
import { planLabel, takeLabelFile } from "./lsm.js";
import { giveTerminal, initIds } from "./login.js";
import { type EntryPlaces, type KeptMount, planEntry, setAgain } from "./mount.js";
import { beginLateNetwork, cloneFlag, enter, joinShared } from "./namespace.js";
import { journalEntries } from "./journal.js";
import { planListen } from "./listen.js";
import { planLocaltime } from "./localtime.js";
import { planInsideNics } from "./nic/nic.js";
import { passAlways, passMount } from "./pass.js";
import { planExec, planHostname, planIds, planPersonality, planSeccomp, planSysctls } from "./process.js";
import {
  attachRootfs,
  isolateMounts,
  openRootfsPlace,
  pivot,
  sourcesOf,
  rootfsOnHostSide,
  takeRootfs,
} from "./rootfs.js";
import { planRun } from "./run.js";
import { openLxcfs, planLxcfs } from "./lxcfs.js";
import { planSharedMounts } from "./shmounts.js";

function dieWithMonitor(child: Block, signal: number, on: readonly Rule[]): void {
  call(child, "prctl", [imm(PR_SET_PDEATHSIG, "PR_SET_PDEATHSIG"), imm(signal), imm(0), imm(0), imm(0)], {
    note: "die with the monitor",
    on,
  });
}

/** What the container's main process does from clone to exec. */
export function planChild(
  context: StartContext,
  child: Block,
  console: ConsoleSlots,
  paths: StartCgroups,
  handedDown: readonly Slot[] | null,
  sharedCgroup: Slot | null,
): InsideTerminals {
  const { build, slots, spec, host } = context;
  closeNow(child, slots.sync, "close the monitor's end");
  joinTasks(child, legacyDirectories(paths), handedDown);
  const rootPlace = openRootfsPlace(context, child);
  const lxcfs = openLxcfs(context, child);
  const apiDirectory = openGuestApi(context, child);
  if (hasUserNamespace(context)) {
    mapIds(context, child);
    becomeRoot(child);
    beginLateNetwork(context, child);
  }
  dieWithMonitor(child, spec.lifecycle.monitorDeathSignal, []);
  if (spec.process.newSessionKeyring) {
    call(child, "keyctl", [imm(1, "KEYCTL_JOIN_SESSION_KEYRING"), nil, imm(0), imm(0), imm(0)], {
      note: "begin a session keyring",
      on: [{ on: "any", to: "next" }],
    });
  }
  if (spec.process.coreScheduling) {
    call(
      child,
      "prctl",
      [
        imm(62, "PR_SCHED_CORE"),
        imm(1, "PR_SCHED_CORE_CREATE"),
        imm(0),
        imm(1, "PR_SCHED_CORE_SCOPE_THREAD_GROUP"),
        imm(0),
      ],
      {
        note: "begin a core scheduling domain",
        hints: { ENODEV: "the processor has no hyper-threads", EINVAL: "the kernel has no core scheduling" },
      },
    );
  }
  joinShared(context, child, ["net", "uts", "ipc"]);
  planHostname(context, child);
  planPersonality(context, child);
  const labelFile = takeLabelFile(context, child);
  const terminals = planFilesystem(context, child, console, paths, rootPlace, lxcfs, apiDirectory);
  sendMasters(context, child, terminals.masters);
  const go = buffer(build, 8, "[go]");
  call(child, "read", [slots.childSync, go, imm(1)], { note: "wait for the host's side", full: true });
  if (spec.namespaces.cgroup.kind === "new" && host.namespaces.includes("cgroup")) {
    call(child, "unshare", [imm(cloneFlag.cgroup, "CLONE_NEWCGROUP")], {
      note: "begin a cgroup namespace",
      on: [{ on: EINVAL, to: "next" }],
    });
  }
  if (sharedCgroup !== null) enter(child, sharedCgroup, "cgroup", "enter the shared cgroup namespace");
  planNamespacedCgroups(context, child, paths);
  planInsideNics(context, child);
  planSysctls(context, child);
  giveTerminal(context, child, terminals.stdio);
  takeTerminal(context, child, terminals.stdio);
  const last = Math.min(host.lastCapability, CAP_LAST_CAP);
  planLabel(context, child, labelFile);
  if (spec.security.noNewPrivileges) noNewPrivileges(child);
  runHostHooks(context, child, "start", []);
  dropCapabilities(child, spec.security.capabilities, last);
  planListen(context, child);
  planSeccomp(context, child);
  planIds(context, child);
  const { lifecycle } = spec;
  const init = initIds(context);
  // A change of ids clears it (prctl(2)); a seccomp policy may forbid the call by now.
  if (init.uid !== 0 || init.gid !== 0)
    dieWithMonitor(child, lifecycle.monitorDeathSignal, [{ on: "any", to: "next" }]);
  planExec(context, child);
  return terminals;
}

/** Everything below the container's root. */
function planFilesystem(
  context: StartContext,
  child: Block,
  console: ConsoleSlots,
  paths: StartCgroups,
  rootPlace: Slot,
  lxcfs: Slot | null,
  apiDirectory: Slot | null,
): InsideTerminals {
  const { build, slots, spec, monitor } = context;
  const root = slot(build, "root");
  const dev = slot(build, "dev");
  const pts = slot(build, "pts");
  const outside = rootfsOnHostSide(context);
  const sockets = { outer: slots.sync, inner: slots.childSync };
  isolateMounts(child);
  runHostHooks(context, child, "pre-mount", []);
  let userns: Slot | null = null;
  if (outside) {
    const ours = slot(build, "rootfs.tree");
    userns = slot(build, "init.userns");
    const path = buffer(build, 40, '"/proc/PID/ns/user"');
    format(monitor, path, "/proc/%/ns/user", [slots.pid], "write the path of the user namespace");
    openat(monitor, cwdFd, path, O_RDONLY, userns, { note: "open the container's user namespace" });
    takeRootfs(context, monitor, userns, ours);
    lockRoot(context, monitor, userns, ours);
    passAlways(
      monitor,
      child,
      sockets,
      ours,
      slot(build, "rootfs.present"),
      root,
      slot(build, "rootfs.arrived"),
      "the root file system",
    );
  } else takeRootfs(context, child, null, root);
  const devices = takeDevices(context, child, sockets, rootPlace);
  attachRootfs(context, child, root, rootPlace);
  setUmask(child, 0);
  planDev(context, child, root, dev);
  planProcAndSys(context, child, root);
  planKernelDirectories(context, child, root);
  planSelinuxfs(context, child, root);
  const taken = planRun(context, child, root, sockets);
  const kept: KeptMount[] = [];
  const places: EntryPlaces = {
    keep: (mount) => {
      kept.push(mount);
    },
    hostBlock: outside ? monitor : child,
    block: child,
    root,
    userns,
    standIn: slots.sync,
    image: (block, { source: path, options, at }, kind, tree) => {
      const facts = context.start.images[path] ?? null;
      sourcesOf(context).device(block, { kind, path, options, facts, at }, tree);
    },
    pass: (passed) => {
      passMount(monitor, child, sockets, passed);
    },
  };
  planSharedMounts(context, child, root);
  [...spec.mounts.entries, ...journalEntries(context)].forEach((entry, index) => {
    planEntry(places, entry, index);
  });
  planBoundCgroups(context, child, paths, root);
  if (userns !== null) close(monitor, userns, "close the user namespace");
  planLxcfs(context, child, root, lxcfs);
  runHostHooks(context, child, "mount", []);
  if (spec.mounts.dev.populate) runHostHooks(context, child, "autodev", []);
  populateDev(context, child, dev);
  populateGuestDev(context, child, root, dev, devices);
  planDevpts(context, child, dev, pts);
  const terminals = planTerminals(context, child, dev, pts, console);
  planBootId(context, child, root, dev);
  planLocaltime(context, child, root);
  planGuestApi(context, child, root, apiDirectory);
  pivot(child, root);
  setAgain(child, kept);
  close(child, root, "close the root directory");
  close(child, dev, "close /dev");
  close(child, pts, "close /dev/pts");
  return { ...terminals, masters: [...terminals.masters, ...taken] };
}
