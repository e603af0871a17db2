import { IsletError } from "../base/errors.js";
import {
  type Block,
  buffer,
  call,
  clone,
  cwdFd,
  data,
  end,
  format,
  imm,
  load,
  slot,
  str,
  wait,
} from "../program/assembler.js";
import {
  cloneArguments,
  close,
  closeNow,
  mkdirat,
  mountSetattr,
  moveMountAt,
  openTree,
  openat,
  writeText,
} from "../program/calls.js";
import type { Slot } from "../program/ops.js";
import { toHostId } from "../spec/idmap.js";
import type { UserFacts } from "../spec/host.js";
import {
  CLONE_NEWUSER,
  CLONE_PIDFD,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOSUID,
  MS_PRIVATE,
  O_CREAT,
  O_EXCL,
  O_RDONLY,
  O_WRONLY,
} from "../sys/flags.js";
import { recordFiles } from "../sys/userdb.js";
import { type StartContext, hasUserNamespace } from "./context.js";
import { signalChild } from "./hooks.js";
import { type Sockets, passAlways } from "./pass.js";

/** Records and homes of the host's users whom the guest has as well, below /run/host. */
export function planUserdb(context: StartContext, child: Block, host: Slot, sockets: Sockets): void {
  const users = context.start.guest?.users ?? [];
  if (users.length === 0) return;
  mkdirat(child, host, "userdb", 0o755, { note: "make /run/host/userdb" });
  mkdirat(child, host, "home", 0o755, { note: "make /run/host/home" });
  const slots = homeSlots(context);
  for (const user of users) {
    planRecords(child, host, user);
    planHome(context, child, host, sockets, user, slots);
  }
}

function planRecords(child: Block, host: Slot, user: UserFacts): void {
  const { build } = child;
  const { name, at } = user;
  const fd = slot(build, "record");
  for (const file of recordFiles({ ...user, id: user.inside, home: `/run/host/home/${name}` })) {
    const given = { note: `write /run/host/userdb/${file.name}`, at };
    const bytes = new TextEncoder().encode(file.text);
    const text = data(build, bytes, file.isSecret ? "[not shown]" : JSON.stringify(file.text), 1);
    openat(child, host, `userdb/${file.name}`, O_WRONLY | O_CREAT | O_EXCL, fd, given, file.isSecret ? 0o600 : 0o444);
    call(child, "write", [fd, text, imm(bytes.length)], { ...given, full: true });
    closeNow(child, fd, `close /run/host/userdb/${file.name}`);
    call(child, "symlinkat", [str(build, file.name), host, str(build, `userdb/${file.link}`)], {
      note: `link /run/host/userdb/${file.link} to it`,
      at,
    });
  }
}

interface HomeSlots {
  readonly pid: Slot;
  readonly pidfd: Slot;
  readonly map: Slot;
  readonly userns: Slot;
  readonly tree: Slot;
  readonly present: Slot;
  readonly mount: Slot;
  readonly arrived: Slot;
}

/** One user follows the other: they share them. */
function homeSlots({ build }: StartContext): HomeSlots {
  return {
    pid: slot(build, "ids"),
    pidfd: slot(build, "ids.pidfd"),
    map: slot(build, "ids.map"),
    userns: slot(build, "ids.userns"),
    tree: slot(build, "home.tree"),
    present: slot(build, "home.present"),
    mount: slot(build, "home"),
    arrived: slot(build, "home.arrived"),
  };
}

const homeHints: Readonly<Record<string, string>> = {
  EINVAL: "its file system cannot be mounted with other ids on this kernel",
  EPERM:
    "this needs the host's root, and a file system that is not mounted with other ids already (as systemd-homed does)",
};

/**
 * The home of the host's, mounted with two ids only: its user's and its group's are the guest's user's, all others nobody's. What is mounted below it
 * does not come along, then or later.
 */
function planHome(
  context: StartContext,
  child: Block,
  host: Slot,
  sockets: Sockets,
  user: UserFacts,
  slots: HomeSlots,
): void {
  const { monitor } = context;
  const { name, home, at } = user;
  const before = monitor.at;
  monitor.at = at;
  const what = `the home of ${name}`;
  openTree(monitor, cwdFd, home, false, slots.tree, {
    note: `take ${what}, ${home}, as a mount`,
    hints: { ENOENT: `${home} does not exist on the host` },
  });
  makeIds(context, user, slots);
  mountSetattr(
    monitor,
    slots.tree,
    "",
    { set: MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, propagation: MS_PRIVATE, userns: slots.userns },
    false,
    { note: `map the ids of ${what}`, hints: homeHints },
  );
  close(monitor, slots.userns, "close the user namespace");
  passAlways(monitor, child, sockets, slots.tree, slots.present, slots.mount, slots.arrived, what);
  monitor.at = before;
  mkdirat(child, host, `home/${name}`, 0o755, { note: `make /run/host/home/${name}`, at });
  moveMountAt(child, slots.mount, host, `home/${name}`, {
    note: `mount ${what} on /run/host/home/${name}`,
    at,
    hints: { ENOTDIR: `${home} is not a directory` },
  });
  close(child, slots.mount, `close ${what}`);
}

/** A user namespace that nobody is ever in: it says which ids the files of a mount have. A process that ends at once leaves it until it is waited for. */
function makeIds(context: StartContext, user: UserFacts, slots: HomeSlots): void {
  const { monitor, build } = context;
  const { name } = user;
  const room = buffer(build, 8, "ids.pidfd");
  const args = cloneArguments(monitor, BigInt(CLONE_NEWUSER | CLONE_PIDFD), signalChild, room, null);
  const hints = {
    EINVAL: "this kernel has no user namespaces",
    ENOSPC: "the host's limit of user namespaces is reached (/proc/sys/user)",
  };
  clone(
    monitor,
    "ids",
    args,
    { note: `make a user namespace for the ids of ${name}`, out: slots.pid, hints },
    (none) => {
      end(none, 0, "the user namespace is made");
    },
  );
  load(monitor, slots.pidfd, room, 4, "take its pidfd");
  const path = buffer(build, 40, '"/proc/PID/..."');
  for (const type of ["uid", "gid"] as const) {
    format(monitor, path, `/proc/%/${type}_map`, [slots.pid], `write the path of its ${type} map`);
    openat(monitor, cwdFd, path, O_WRONLY, slots.map, { note: `open its ${type} map` });
    writeText(monitor, slots.map, `${user[type]} ${outside(context, user, type)} 1\n`, {
      note: `map the ${type} of ${name}`,
    });
    close(monitor, slots.map, `close the ${type} map`);
  }
  format(monitor, path, "/proc/%/ns/user", [slots.pid], "write the path of the user namespace");
  openat(monitor, cwdFd, path, O_RDONLY, slots.userns, { note: "open the user namespace" });
  wait(monitor, slots.pidfd, true, { note: "wait for its process" });
  close(monitor, slots.pidfd, "close its pidfd");
}

/** The host's number of the guest's id. */
function outside(context: StartContext, user: UserFacts, type: "uid" | "gid"): number {
  if (!hasUserNamespace(context)) return user.inside;
  const id = toHostId(context.spec.idmap, type, user.inside);
  if (id !== null) return id;
  throw new IsletError("ISLET_BAD_CONFIG", `the guest has no ${type} ${user.inside} for ${user.name}`, {
    at: user.at,
    hint: "map 65536 ids with lxc.idmap",
  });
}
