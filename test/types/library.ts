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
  // @ts-expect-error there is no such state
  await running.wait("GONE");

  const again: StoppedContainer = await (await (await running.freeze()).unfreeze()).stop();
  const started: RunningContainer = await again.start();
  if (any.state === "RUNNING") await any.exec(["true"]);
  else if (any.state === "FROZEN") await any.unfreeze();
  else if (any.state === "STOPPED") await any.destroy();
  else await any.settled();
  const bytes: Buffer = await started.files.read("/x");
  const text: string = await started.files.read("/x", "utf8");
  await started.files.write(text, bytes);
}
