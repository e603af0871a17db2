/** What the nic planners share of the assembler, in one place. */
import type { OpOptions } from "../../program/assembler.js";
export {
  type Block,
  buffer,
  call,
  check,
  clone,
  compute,
  cwdFd,
  data,
  defer,
  end,
  fail,
  format,
  ignore,
  imm,
  jump,
  label,
  load,
  nil,
  place,
  slot,
  store,
  str,
  wait,
  within,
} from "../../program/assembler.js";
export type CallOptionsLike = OpOptions;
