import { realpathSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { IsletError } from "../base/errors.js";
import { run } from "../host/addon.js";
import { type OwnedFd, ownFd } from "../host/fd.js";
import { type AttachedImage, planDiskAttachment, withImages } from "../plan/disk-image.js";
import { waits, waitTime } from "../plan/loop.js";
import { encodeProgram } from "../program/encode.js";
import { decodeRecord, failureError } from "../program/report.js";
import type { DiskImage } from "../spec/mount.js";
import type { ContainerSpec } from "../spec/spec.js";
import type { Arch } from "../sys/arch.js";

/**
 * Files that a guest is to have as block devices. Nobody has to detach their loop devices: they go with the last descriptor, which is the monitor's, so
 * also when the start fails or the daemon is killed.
 */
export interface AttachedImages extends Disposable {
  /** With the devices in the place of the images. */
  readonly spec: ContainerSpec;
  readonly fds: readonly number[];
}

/** ISLET_OPERATION_FAILED: an image is missing, in use by another, or cannot be attached. */
export async function attachImages(arch: Arch, spec: ContainerSpec): Promise<AttachedImages> {
  const fds: OwnedFd[] = [];
  const close = (): void => {
    for (const fd of fds) fd[Symbol.dispose]();
  };
  try {
    const attached: AttachedImage[] = [];
    for (const image of spec.mounts.dev.images ?? []) {
      const { fd, major, minor } = await attach(arch, image);
      fds.push(fd);
      attached.push({ image, major, minor });
    }
    return { spec: withImages(spec, attached), fds: fds.map(({ number }) => number), [Symbol.dispose]: close };
  } catch (error) {
    close();
    throw error;
  }
}

async function attach(
  arch: Arch,
  image: DiskImage,
): Promise<{ readonly fd: OwnedFd; readonly major: number; readonly minor: number }> {
  const { program, descriptor, major, minor } = planDiskAttachment(arch, realPath(image.path), image.readonly);
  const encoded = encodeProgram(program, (bytes) => new Uint8Array(bytes), "without notes");
  for (let tries = 1; ; tries += 1) {
    const result = run(encoded, []);
    if (result.kind === "ok") {
      const value = (index: number): number => result.slots[index] ?? 0;
      return { fd: ownFd(value(descriptor.index)), major: value(major.index), minor: value(minor.index) };
    }
    const record = decodeRecord(result.record);
    if (record === null) throw new IsletError("ISLET_INTERNAL", "a program of the daemon's own left no report");
    const error = failureError(program, record, "ISLET_OPERATION_FAILED");
    if (error.errno !== "EAGAIN" || tries > waits) throw error;
    await sleep(Number(waitTime / 1_000_000n));
  }
}

/** Links followed; what is missing stays as it was named, for the message. */
function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
