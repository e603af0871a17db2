import { readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { IsletError } from "../base/errors.js";
import type { Monitor } from "../runtime/monitors.js";

/** Milliseconds after which a freezer that does not settle is an error. */
const settleTime = 10_000;

/** Freezes or thaws all processes of the payload cgroup: the v1 freezer, or cgroup.freeze on v2. Idempotent. */
export async function freezeContainer(monitor: Monitor, frozen: boolean): Promise<void> {
  const legacy = monitor.meta.cgroups.find((item) => item.controllers.includes("freezer"));
  const until = Date.now() + settleTime;
  if (legacy !== undefined) {
    const file = `${legacy.path}/freezer.state`;
    const wanted = frozen ? "FROZEN" : "THAWED";
    for (;;) {
      write(file, wanted);
      if (readFileSync(file, "utf8").trim() === wanted) break;
      await pause(until, monitor, wanted);
    }
  } else {
    const { unified } = monitor.meta;
    if (unified === null)
      throw new IsletError("ISLET_UNSUPPORTED", "freezing needs the freezer controller or cgroup v2");
    write(`${unified}/cgroup.freeze`, frozen ? "1" : "0");
    while (!readFileSync(`${unified}/cgroup.events`, "utf8").includes(`frozen ${frozen ? 1 : 0}`))
      await pause(until, monitor, frozen ? "FROZEN" : "THAWED");
  }
  if (monitor.state === "RUNNING" || monitor.state === "FROZEN") monitor.state = frozen ? "FROZEN" : "RUNNING";
}

function write(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw new IsletError("ISLET_IO", `cannot write ${text} to ${file}`, { cause: error });
  }
}

async function pause(until: number, monitor: Monitor, wanted: string): Promise<void> {
  if (Date.now() > until) throw new IsletError("ISLET_TIMEOUT", `${monitor.meta.name} did not become ${wanted}`);
  await sleep(1);
}
