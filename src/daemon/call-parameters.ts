import { absolutePath, type Decoder, flag, integer, list, oneOf, orNull, record, text } from "../base/decode.js";
import type { ContainerId, StopOptions } from "../engine/engine.js";
import type { ProgramAttach } from "../engine/library.js";

/** Parameters of the library's calls, as they come from a program; those of what makes containers are in engine/library-requests.ts. */

/** Milliseconds; setTimeout's own limit. */
const longest = 0x7fff_ffff;

export const id: Decoder<ContainerId> = record<ContainerId>({ storePath: absolutePath, name: text });
export const milliseconds: Decoder<number | null> = orNull(integer(0, longest));
export const stop: Decoder<StopOptions> = record<StopOptions>({
  kind: oneOf("clean", "kill", "reboot"),
  timeout: milliseconds,
  noKill: flag,
});
export const number: Decoder<number> = integer(0, 0xffff_ffff);
/** A container that is to be; null: a name that nobody has. */
export const target: Decoder<{ readonly storePath: string; readonly name: string | null }> = record<{
  readonly storePath: string;
  readonly name: string | null;
}>({ storePath: absolutePath, name: orNull(text) });
export const attach: Decoder<ProgramAttach> = record<ProgramAttach>({
  command: orNull(list(text)),
  environment: oneOf("keep", "clear"),
  set: list(text),
  uid: orNull(number),
  gid: orNull(number),
  cwd: text,
  terminals: (value, place) => {
    const [first, second, third] = list(flag)(value, place);
    return [first ?? false, second ?? false, third ?? false];
  },
});
