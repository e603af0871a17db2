import { type Block, buffer, call, cwdFd, data, format, imm, nil, slot } from "../program/assembler.js";
import { close, openat, writeText } from "../program/calls.js";
import { O_WRONLY } from "../sys/flags.js";
import type { IdMapEntry } from "../spec/idmap.js";
import { type StartContext, sharesUserNamespace } from "./context.js";

/** The text of /proc/PID/uid_map or gid_map (user_namespaces(7)). */
export function mapText(map: readonly IdMapEntry[], type: "uid" | "gid"): string {
  return map
    .filter((entry) => entry.type === type)
    .map((entry) => `${entry.inside} ${entry.outside} ${entry.count}\n`)
    .join("");
}

/** The monitor writes the maps of the child's user namespace, which waits for it. A shared one has its maps. */
export function mapIds(context: StartContext, child: Block): void {
  const { monitor, build, slots, spec } = context;
  for (const type of sharesUserNamespace(context) ? [] : (["uid", "gid"] as const)) {
    const text = mapText(spec.idmap, type);
    if (text === "") continue;
    const path = buffer(build, 40, `"/proc/PID/${type}_map"`);
    const fd = slot(build, `${type}_map`);
    const at = spec.idmap.find((entry) => entry.type === type)?.at ?? null;
    const hints = {
      EINVAL: "the ranges overlap, or there are more than the kernel takes",
      EPERM: "ids of the host can be mapped only by root",
    };
    format(monitor, path, `/proc/%/${type}_map`, [slots.pid], `write the path of the ${type} map`);
    openat(monitor, cwdFd, path, O_WRONLY, fd, { note: `open the ${type} map`, at });
    writeText(monitor, fd, text, { note: `map the container's ${type}s`, at, hints });
    close(monitor, fd, `close the ${type} map`);
  }
  call(monitor, "write", [slots.sync, data(build, new Uint8Array([1]), "[mapped]"), imm(1)], {
    note: "tell the child that its ids are mapped",
    full: true,
  });
  call(child, "read", [slots.childSync, buffer(build, 8, "[mapped]"), imm(1)], {
    note: "wait for the id maps",
    full: true,
  });
}

/** Root of the container. In a user namespace this comes first of all, since nothing else works before it. */
export function becomeRoot(child: Block): void {
  call(child, "setresgid", [imm(0), imm(0), imm(0)], { note: "become the container's root group" });
  call(child, "setgroups", [imm(0), nil], { note: "drop the supplementary groups", on: [{ on: "any", to: "next" }] });
  call(child, "setresuid", [imm(0), imm(0), imm(0)], {
    note: "become the container's root",
    hints: { EINVAL: "the id map does not map id 0" },
  });
}
