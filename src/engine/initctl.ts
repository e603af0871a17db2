import { closeSync } from "node:fs";
import { IsletError } from "../base/errors.js";
import { initctlSent, planInitctl } from "../plan/initctl.js";
import { helperOutcome, runHelper } from "../runtime/helper.js";
import type { HostFacts } from "../spec/host.js";
import { openRoot } from "./open.js";

/** Milliseconds: a guest's file system (FUSE) may never answer. */
const patience = 2000;

/** false: nobody in the container reads such a pipe. `pid`: of its main process. ISLET_TIMEOUT. */
export async function sendRunLevel(
  host: HostFacts,
  binary: string,
  pid: number,
  runLevel: "0" | "6",
): Promise<boolean> {
  const { root } = await openRoot(host, binary, pid, null);
  try {
    const program = planInitctl(runLevel, host);
    const result = await runHelper(host.arch, binary, program, [root], patience);
    const late = (): IsletError =>
      new IsletError("ISLET_TIMEOUT", "the container's file system does not answer", { hint: "stop it by force" });
    return helperOutcome(program, result, late) === initctlSent;
  } finally {
    closeSync(root);
  }
}
