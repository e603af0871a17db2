import type { FillOptions } from "../../../engine/engine.js";
import type { Call } from "./frame.js";
import { signalOf } from "./gone.js";
import type { Waiting } from "./progress.js";

/** What the engine tells of work that takes time goes to the command's user: for `Call.progress.during`. `first`: what is shown until it says something. */
export function heardBy(
  call: Pick<Call, "caller" | "runUnseen" | "report" | "session">,
  first: string,
): { readonly waiting: FillOptions; readonly about: () => Waiting } {
  let what = first;
  return {
    about: () => ({ what }),
    waiting: {
      caller: call.caller,
      run: (task) => call.runUnseen(task),
      progress: (text) => {
        what = text;
      },
      notice: call.report.notice,
      signal: signalOf(call.session.gone),
    },
  };
}
