/* oxlint-disable typescript/no-unsafe-call, typescript/no-unsafe-member-access -- what does not compile has no type */
import type { Container, FrozenContainer, Islet, RunningContainer, StoppedContainer } from "../../src/index.js";

/** Checked by the compiler alone: senseless calls do not compile, sensible ones do. Never run. */
export async function typed(
  islet: Islet,
  stopped: StoppedContainer,
  running: RunningContainer,
  frozen: FrozenContainer,
  any: Container,
): Promise<void> {
  // @ts-expect-error a stopped container runs no command
  await stopped.exec(["true"]);
  // @ts-expect-error it cannot be stopped again
  await stopped.stop();
  // @ts-expect-error a running container is not removed
  await running.destroy();
  // @ts-expect-error nor started again
  await running.start();
  // @ts-expect-error in a frozen container no command would ever end
  await frozen.exec(["true"]);
  // @ts-expect-error the state of what was looked up must be looked at first
  await any.exec(["true"]);
  // @ts-expect-error a command with a terminal has no standard output
  (await running.spawn(["sh"], { terminal: { rows: 1, columns: 1 } })).stdout.resume();
  // @ts-expect-error keys of the configuration begin with lxc.
  await islet.create("x", { config: { utsname: "x" } });
  // @ts-expect-error a running container is not put aside
  await running.snapshots.take();
  // @ts-expect-error nor brought back
  await frozen.snapshots.restore("snap0");
  // @ts-expect-error a directory has no file system of its own
  await islet.create("x", { storage: { kind: "dir", fstype: "ext4" } });
  // @ts-expect-error which device?
  await islet.create("x", { storage: { kind: "block" } });
  // @ts-expect-error a copy is not put onto a device
  await stopped.copy("x", { storage: { kind: "block", device: "/dev/sdx" } });
  // @ts-expect-error a directory is as large as what it is on
  await stopped.copy("x", { storage: { kind: "dir", size: 1 } });
  // @ts-expect-error what is on its way is not copied
  if (any.state === "STARTING") await any.copy("x");
  // @ts-expect-error there is no such state
  await running.wait("GONE");

  const again: StoppedContainer = await (await (await running.freeze()).unfreeze()).stop();
  const started: RunningContainer = await again.start();
  if (any.state === "RUNNING") await any.exec(["true"]);
  else if (any.state === "FROZEN") await any.unfreeze();
  else if (any.state === "STOPPED") await any.destroy();
  else await any.settled();
  const copy: StoppedContainer & AsyncDisposable = await started.copy("x", { allowRunning: true });
  const ephemeral: RunningContainer & AsyncDisposable = await copy.runCopy({ memory: 1n << 30n });
  const names: readonly string[] = (await ephemeral.snapshots.list()).map(({ name }) => name);
  await islet.import(names.join(), { storage: { kind: "zfs", size: 1e10 } });
  const bytes: Buffer = await started.files.read("/x");
  const text: string = await started.files.read("/x", "utf8");
  await started.files.write(text, bytes);
}
