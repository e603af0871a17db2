import {
  beginProgram,
  blob,
  call,
  end,
  finishProgram,
  imm,
  load,
  presetSlot,
  slot,
  store,
  within,
} from "../program/assembler.js";
import type { LaunchProgram, Slot } from "../program/ops.js";
import type { Arch } from "../sys/arch.js";
import { BPF_CGROUP_DEVICE, BPF_OBJ_GET_INFO_BY_FD, BPF_PROG_QUERY } from "../sys/flags.js";
import {
  BPF_OBJ_INFO_AT,
  BPF_OBJ_INFO_SIZE,
  BPF_PROG_INFO_AT,
  BPF_PROG_QUERY_AT,
  BPF_PROG_QUERY_SIZE,
  bpfProgInfo,
  bpfProgQuery,
} from "../sys/structs.js";
import { deviceProgramName, loadDeviceProgram } from "./cgroup.js";
import type { DevicePolicy } from "./device-bpf.js";

/**
 * The device program of a running container, looked at and made by the daemon itself (bpf(2)): programs without effect on the process that
 * runs them. What they find is in their slots.
 */

/** More device programs on one cgroup than there ever are: the kernel's own limit (BPF_CGROUP_MAX_PROGS). */
const maxPrograms = 64;

export interface DeviceQuery {
  readonly program: LaunchProgram;
  readonly count: Slot;
  readonly ids: readonly Slot[];
}

/** Ids of the device programs attached to a cgroup. Preset: a descriptor of the cgroup. */
export function planDeviceQuery(arch: Arch): DeviceQuery {
  const block = beginProgram(arch, "daemon");
  const { build } = block;
  const cgroup = presetSlot(build, "cgroup");
  const attr = blob(build, bpfProgQuery(BPF_CGROUP_DEVICE, maxPrograms), "{BPF_CGROUP_DEVICE}");
  store(block, cgroup, within(attr, BPF_PROG_QUERY_AT.target_fd, 4), 4, "name the cgroup");
  call(block, "bpf", [imm(BPF_PROG_QUERY, "BPF_PROG_QUERY"), attr, imm(BPF_PROG_QUERY_SIZE)], {
    note: "ask for the cgroup's device programs",
  });
  const count = slot(build, "count");
  load(block, count, within(attr, BPF_PROG_QUERY_AT.prog_cnt, 4), 4, "take their number");
  const ids = Array.from({ length: maxPrograms }, (_, index) => {
    const id = slot(build, `id.${index}`);
    load(block, id, within(attr, BPF_PROG_QUERY_SIZE + 4 * index, 4), 4, "take an id", false);
    return id;
  });
  end(block, 0, "asked");
  return { program: finishProgram(build), count, ids };
}

export interface DeviceLoad {
  readonly program: LaunchProgram;
  /** The loaded program: whoever runs this closes it. */
  readonly descriptor: Slot;
  readonly id: Slot;
}

/** Loads the program of a policy. */
export function planDeviceLoad(arch: Arch, policy: DevicePolicy): DeviceLoad {
  const block = beginProgram(arch, "daemon");
  const { build } = block;
  const descriptor = slot(build, "device.program");
  const id = slot(build, "id");
  loadDeviceProgram(block, policy, descriptor);
  const attr = blob(build, bpfProgInfo(), "{info}");
  store(block, descriptor, within(attr, BPF_OBJ_INFO_AT.bpf_fd, 4), 4, "name the program");
  call(block, "bpf", [imm(BPF_OBJ_GET_INFO_BY_FD, "BPF_OBJ_GET_INFO_BY_FD"), attr, imm(BPF_OBJ_INFO_SIZE)], {
    note: "ask for the program's id",
  });
  load(block, id, within(attr, BPF_OBJ_INFO_SIZE + BPF_PROG_INFO_AT.id, 4), 4, "take its id", false);
  end(block, 0, "loaded");
  return { program: finishProgram(build), descriptor, id };
}

export interface DeviceProgramName {
  readonly program: LaunchProgram;
  /** The name in two halves, as little-endian numbers; see `isDeviceProgram`. */
  readonly name: readonly Slot[];
}

const words = 4;

/** The name of a BPF program. Preset: a descriptor of it. */
export function planProgramName(arch: Arch): DeviceProgramName {
  const block = beginProgram(arch, "daemon");
  const { build } = block;
  const descriptor = presetSlot(build, "program");
  const attr = blob(build, bpfProgInfo(), "{info}");
  store(block, descriptor, within(attr, BPF_OBJ_INFO_AT.bpf_fd, 4), 4, "name the program");
  call(block, "bpf", [imm(BPF_OBJ_GET_INFO_BY_FD, "BPF_OBJ_GET_INFO_BY_FD"), attr, imm(BPF_OBJ_INFO_SIZE)], {
    note: "ask for the program's name",
  });
  const name = Array.from({ length: words }, (_, index) => {
    const part = slot(build, `name.${index}`);
    load(
      block,
      part,
      within(attr, BPF_OBJ_INFO_SIZE + BPF_PROG_INFO_AT.name + 4 * index, 4),
      4,
      "take its name",
      false,
    );
    return part;
  });
  end(block, 0, "asked");
  return { program: finishProgram(build), name };
}

/** Is the name that `planProgramName` found, as u32 after u32, that of our device programs? */
export function isDeviceProgram(name: readonly number[]): boolean {
  const bytes = new Uint8Array(4 * words);
  const view = new DataView(bytes.buffer);
  name.forEach((part, index) => {
    view.setUint32(4 * index, part, true);
  });
  return new TextDecoder().decode(bytes).replace(/\0.*$/s, "") === deviceProgramName;
}
