import { environmentStrings } from "./commands.js";
import type { UnshareRequest } from "../plan/unshare.js";
import type { UnshareOptions } from "./engine.js";

export function unshareRequest(options: UnshareOptions): UnshareRequest {
  const { caller, command, ...rest } = options;
  return {
    ...rest,
    argv: command,
    environment: environmentStrings(caller.environment),
  };
}
