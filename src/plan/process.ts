import { plainDirectory } from "../spec/rootfs.js";
import { IsletError } from "../base/errors.js";
import {
  type Block,
  blob,
  buffer,
  call,
  cwdFd,
  data,
  format,
  goOn,
  imm,
  jump,
  label,
  nil,
  place,
  slot,
  str,
  stringArray,
} from "../program/assembler.js";
import { close, newFilesystem, openat, openat2, writeText } from "../program/calls.js";
import { EACCES, ENOENT, ENOTDIR } from "../sys/errno.js";
import { O_WRONLY, RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS } from "../sys/flags.js";
import { rlimit64, sigaction, sockFprogWith } from "../sys/structs.js";
import { type StartContext, hasUserNamespace } from "./context.js";
import { guestEnvironment } from "./guest-environment.js";
import { defaultSignals } from "./hooks.js";
import { initIds } from "./login.js";
import { compileSeccomp, parseSeccomp } from "./seccomp.js";

/** /proc/PID/... written from the host: lxc.proc.*. */
export function planProcFiles(context: StartContext): void {
  const { monitor, spec, slots, build } = context;
  for (const item of spec.process.procFiles) {
    const path = buffer(build, item.name.length + 40, `"/proc/PID/${item.name}"`);
    const fd = slot(build, "proc.file");
    const before = monitor.at;
    monitor.at = item.at;
    format(monitor, path, `/proc/%/${item.name.replaceAll("%", "")}`, [slots.pid], `write the path of ${item.name}`);
    openat(monitor, cwdFd, path, O_WRONLY, fd, { note: `set ${item.name} of the main process to ${item.value}` });
    writeText(monitor, fd, item.value, { note: `set ${item.name} of the main process to ${item.value}` });
    close(monitor, fd, `close ${item.name}`);
    monitor.at = before;
  }
}

/** prlimit64 on the child, from outside, where raising a limit is permitted. */
export function planRlimits(context: StartContext): void {
  const { monitor, spec, slots, build, host } = context;
  const usual = 1024;
  if (!spec.process.rlimits.some((item) => item.name === "nofile") && (host.openFilesHard ?? usual + 1) > usual) {
    const hard = host.openFilesHard === null ? null : BigInt(host.openFilesHard);
    const limit = data(build, rlimit64(BigInt(usual), hard), `{${usual}, ${hard ?? "unlimited"}}`);
    call(monitor, "prlimit64", [slots.pid, imm(7, "RLIMIT_NOFILE"), limit, nil], {
      note: "give the container the usual limit of open files",
    });
  }
  for (const item of spec.process.rlimits) {
    const limit = data(
      build,
      rlimit64(item.soft, item.hard),
      `{${item.soft ?? "unlimited"}, ${item.hard ?? "unlimited"}}`,
    );
    call(monitor, "prlimit64", [slots.pid, imm(item.resource, `RLIMIT_${item.name.toUpperCase()}`), limit, nil], {
      note: `limit ${item.name}`,
      at: item.at,
    });
  }
}

/** Sysctls of the new namespaces through a procfs that only this process sees: /proc/sys of the container may be read-only. */
export function planSysctls(context: StartContext, child: Block): void {
  const { sysctls } = context.spec.process;
  if (sysctls.length === 0) return;
  const proc = slot(context.build, "proc.private");
  newFilesystem(child, "proc", [{ name: "source", value: "proc" }], 0, proc, { note: "open a procfs for sysctls" });
  for (const item of sysctls) {
    const fd = slot(context.build, "sysctl");
    child.at = item.at;
    openat2(child, proc, `sys/${item.name}`, O_WRONLY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS, fd, {
      note: `set the sysctl ${item.name}`,
      hints: { ENOENT: "this kernel has no such sysctl, or it is not one of the container's namespaces" },
    });
    writeText(child, fd, item.value, { note: `set the sysctl ${item.name} to ${item.value}` });
    close(child, fd, `close ${item.name}`);
  }
  child.at = null;
  close(child, proc, "close the procfs");
}

export function planHostname(context: StartContext, child: Block): void {
  const { hostname, namespaces } = context.spec;
  if (hostname === null || namespaces.uts.kind !== "new") return;
  const bytes = new TextEncoder().encode(hostname.value);
  call(child, "sethostname", [data(context.build, bytes, JSON.stringify(hostname.value), 1), imm(bytes.length)], {
    note: `set the host name ${hostname.value}`,
    at: hostname.at,
  });
}

export function planPersonality(context: StartContext, child: Block): void {
  const { personality } = context.spec.process;
  if (personality === null) return;
  call(child, "personality", [personality === "linux32" ? imm(8, "PER_LINUX32") : imm(0, "PER_LINUX")], {
    note: `set the execution domain ${personality}`,
  });
}

/** Loads the seccomp policy; it must be the last thing that needs CAP_SYS_ADMIN. */
export function planSeccomp(context: StartContext, child: Block): void {
  const { seccomp } = context.spec.security;
  if (seccomp === null) return;
  const parsed = parseSeccomp(seccomp.text, seccomp.file);
  if ("faults" in parsed) {
    throw new IsletError("ISLET_BAD_CONFIG", `the seccomp policy ${seccomp.file} cannot be read`, {
      at: seccomp.at,
      faults: parsed.faults,
    });
  }
  for (const warning of parsed.policy.warnings) context.warn(warning);
  const filter = compileSeccomp(parsed.policy, context.build.arch);
  const program = blob(context.build, sockFprogWith(filter), `{${filter.length / 8} instructions of ${seccomp.file}}`);
  child.at = seccomp.at;
  call(child, "seccomp", [imm(1, "SECCOMP_SET_MODE_FILTER"), imm(0), program], {
    note: `load the seccomp policy ${seccomp.file}`,
  });
  child.at = null;
}

/** The ids and groups of the main process, when they are not root's. */
export function planIds(context: StartContext, child: Block): void {
  const init = initIds(context);
  if (init.groups !== null && init.groups.length > 0) {
    const bytes = new Uint8Array(init.groups.length * 4);
    const view = new DataView(bytes.buffer);
    init.groups.forEach((group, index) => {
      view.setUint32(index * 4, group, true);
    });
    call(child, "setgroups", [imm(init.groups.length), data(context.build, bytes, `[${init.groups.join(", ")}]`)], {
      note: "set the supplementary groups",
    });
  } else if (!hasUserNamespace(context))
    call(child, "setgroups", [imm(0), nil], { note: "drop the supplementary groups" });
  if (init.gid !== 0)
    call(child, "setresgid", [imm(init.gid), imm(init.gid), imm(init.gid)], { note: `become group ${init.gid}` });
  if (init.uid !== 0)
    call(child, "setresuid", [imm(init.uid), imm(init.uid), imm(init.uid)], { note: `become user ${init.uid}` });
}

/** NAME=VALUE strings of the main process: the caller's environment is not passed on, but for entries that say `inherit`. */
export function initEnvironment(context: StartContext): readonly string[] {
  const out = new Map<string, string>();
  for (const entry of context.spec.process.environment) {
    if (entry.scope === "hooks") continue;
    if (entry.kind === "set") out.set(entry.name, entry.value);
    else {
      const value = context.start.environment[entry.name];
      if (value === undefined)
        throw new IsletError(
          "ISLET_BAD_CONFIG",
          `the environment variable ${entry.name} is to be inherited but is not set`,
          { at: entry.at },
        );
      out.set(entry.name, value);
    }
  }
  return [...out].map(([name, value]) => `${name}=${value}`);
}

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Default signals, working directory, then the main program itself. */
export function planExec(context: StartContext, child: Block): void {
  const { spec, build, slots } = context;
  child.at = spec.init.cwd.at;
  if (spec.init.cwd.value !== "/") {
    const there = label("working directory");
    const missing = label("no working directory");
    call(child, "chdir", [str(build, spec.init.cwd.value)], {
      note: `change to ${spec.init.cwd.value}`,
      on: goOn(missing, ENOENT),
    });
    jump(child, there, "it is there");
    place(child, missing);
    const parts = spec.init.cwd.value.split("/").filter(Boolean);
    parts.forEach((_, index) => {
      call(child, "mkdirat", [cwdFd, str(build, `/${parts.slice(0, index + 1).join("/")}`), imm(0o755, "0755")], {
        note: `make /${parts.slice(0, index + 1).join("/")}`,
        on: [{ on: 17, to: "next" }],
      });
    });
    call(child, "chdir", [str(build, spec.init.cwd.value)], { note: `change to ${spec.init.cwd.value}` });
    place(child, there);
  }
  child.at = spec.init.command.at;
  call(child, "umask", [imm(0o22, "022")], { note: "set the usual umask" });
  const action = data(build, sigaction("default"), "{SIG_DFL}");
  for (const [number, name] of [
    [13, "SIGPIPE"],
    [1, "SIGHUP"],
    [2, "SIGINT"],
    [3, "SIGQUIT"],
  ] as const) {
    call(child, "rt_sigaction", [imm(number, name), action, nil, imm(8)], { note: `default action for ${name}` });
  }
  defaultSignals(child);
  const environment = [...initEnvironment(context), ...guestEnvironment(context)];
  const envp = stringArray(build, environment);
  const command = spec.init.command.value;
  const program = command[0] ?? "/sbin/init";
  if (spec.init.mode === "supervised" && slots.binary !== null) {
    const argv = stringArray(build, ["islet", "init", "--", ...command]);
    call(child, "execveat", [slots.binary, str(build, ""), argv, envp, imm(0x1000, "AT_EMPTY_PATH")], {
      note: "execute the container's small init",
    });
    return;
  }
  execProgram(child, program, command, environment, envp, initHints(context, program));
}

/** What is wrong with the main program, where, and what to do about it. */
function initHints(context: StartContext, program: string): Readonly<Record<string, string>> {
  const directory = plainDirectory(context.spec.rootfs.source);
  const where = directory !== null && program.startsWith("/") ? `${directory}${program}` : program;
  const other = "or name another program with lxc.init.cmd";
  return {
    ENOENT: `${where}, or the interpreter that it names, does not exist in the container: install an init there, ${other}`,
    EACCES: `${where} is not executable: make it so with chmod 755, ${other}`,
    ENOEXEC: `${where} is not a program of this machine's architecture: use an image for this machine, ${other}`,
    ELOOP: `the symbolic links at ${where} lead in a circle: put them right, ${other}`,
    ENOTDIR: `a part of the path of ${where} is not a directory`,
  };
}

const execHints: Readonly<Record<string, string>> = {
  ENOENT: "the program, or the interpreter it names, does not exist in the container",
  EACCES: "the program is not executable",
  ENOEXEC: "the program is not one for this machine",
  ENOTDIR: "a part of its path is not a directory",
};

/** execve of a path, or of a bare name in the directories of the new environment's PATH. */
export function execProgram(
  child: Block,
  program: string,
  argv: readonly string[],
  environment: readonly string[],
  envp: ReturnType<typeof stringArray>,
  hints: Readonly<Record<string, string>> = execHints,
): void {
  const { build } = child;
  const args = stringArray(build, argv);
  if (program.includes("/")) {
    call(child, "execve", [str(build, program), args, envp], { note: `execute ${program}`, hints });
    return;
  }
  const path = environment.findLast((entry) => entry.startsWith("PATH="))?.slice(5) ?? defaultPath;
  const places = path.split(":").map((directory) => `${directory === "" ? "." : directory}/${program}`);
  places.forEach((place1, index) => {
    const last = index === places.length - 1;
    call(child, "execve", [str(build, place1), args, envp], {
      note: last ? `execute ${program} from PATH` : `execute ${place1}`,
      on: last
        ? []
        : [
            { on: ENOENT, to: "next" },
            { on: ENOTDIR, to: "next" },
            { on: EACCES, to: "next" },
          ],
      hints,
    });
  });
}
