import type { UnshareRequest } from "../plan/unshare.js";
import type { UnshareOptions } from "./engine.js";

export function unshareRequest(options: UnshareOptions): UnshareRequest {
  const { caller, command, ...rest } = options;
  return {
    ...rest,
    argv: command,
    environment: Object.entries(caller.environment).map(([name, value]) => `${name}=${value}`),
  };
}
