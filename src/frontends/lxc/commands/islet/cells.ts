import { unreachable } from "../../../../base/never.js";
import type { State } from "../../../../engine/engine.js";
import { bar, fillStyle, fitSpans, type Look, plain, shortBytes, type Spans, type Style } from "../look.js";

/** Cells that the tables of several commands have. */

interface Sign {
  readonly unicode: string;
  readonly ascii: string;
  readonly style: Style;
}

function signOf(state: State): Sign {
  switch (state) {
    case "RUNNING":
      return { unicode: "●", ascii: "*", style: "green" };
    case "STOPPED":
      return { unicode: "○", ascii: "-", style: "dim" };
    case "FROZEN":
      return { unicode: "❄", ascii: "#", style: "cyan" };
    case "STARTING":
    case "STOPPING":
    case "FREEZING":
    case "THAWED":
      return { unicode: "◐", ascii: "~", style: "yellow" };
    case "ABORTING":
      return { unicode: "✗", ascii: "!", style: "red" };
    default:
      return unreachable(state);
  }
}

/** A sign and a word: colour is not the only difference. */
export function stateCell(state: State, look: Pick<Look, "unicode">): Spans {
  const sign = signOf(state);
  return [{ text: `${look.unicode ? sign.unicode : sign.ascii} ${state.toLowerCase()}`, style: sign.style }];
}

/** Columns of the bar. */
const barWidth = 8;

/** What is used; with a bar where there is a limit. `anyLimit`: room for a bar even without. */
export function memoryCell(
  bytes: bigint | null,
  limit: bigint | null,
  anyLimit: boolean,
  look: Pick<Look, "unicode">,
): Spans {
  if (bytes === null) return [];
  const used = fitSpans(plain(shortBytes(bytes)), 4, "right", look);
  if (!anyLimit) return used;
  if (limit === null || limit === 0n) return [...plain(" ".repeat(barWidth + 1)), ...used];
  const share = Number(bytes) / Number(limit);
  return [...bar(share, barWidth, look, fillStyle(share)), ...plain(" "), ...used, ...plain(`/${shortBytes(limit)}`)];
}
