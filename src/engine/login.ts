import { IsletError } from "../base/errors.js";
import { loginFacts } from "../plan/login.js";
import type { HostFacts, LoginFacts } from "../spec/host.js";
import type { ContainerSpec } from "../spec/spec.js";
import { readGuestFile } from "./guest-files.js";

/** More than a guest's passwd or group has, bytes. */
const maxAccounts = 1024 * 1024;

/** Whom the main process's login stands for by the files below `root`. ISLET_BAD_CONFIG: nobody. */
export function loginOf(spec: ContainerSpec, host: HostFacts, root: string | null): LoginFacts | null {
  const { login, command } = spec.init;
  if (login === undefined) return null;
  const read = (path: string): string =>
    root === null ? "" : (readGuestFile(host.arch, root, path, maxAccounts)?.text ?? "");
  const found = loginFacts(login, read("etc/passwd"), read("etc/group"));
  if (typeof found === "string") throw new IsletError("ISLET_BAD_CONFIG", found, { at: command.at });
  return found;
}
