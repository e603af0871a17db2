import { readFileSync } from "node:fs";
import { join } from "node:path";
import { IsletError } from "../base/errors.js";
import { boundUsers } from "../plan/bound-users.js";
import type { HostFacts, UserFacts } from "../spec/host.js";
import type { ContainerSpec } from "../spec/spec.js";
import { hasGuestProgram, readGuestFile } from "./guest-files.js";

/** More than a guest's passwd or group has, bytes. */
const maxAccounts = 1024 * 1024;

/**
 * The host's users whom a guest is to have as well. ISLET_BAD_CONFIG where one of them cannot be passed in; ISLET_IO where the host's files cannot be read.
 */
export function guestUsers(spec: ContainerSpec, host: HostFacts, root: string | null): readonly UserFacts[] {
  const wanted = spec.guest.run?.users ?? [];
  if (wanted.length === 0 || root === null) return [];
  const ofGuest = (path: string): string => {
    const file = readGuestFile(host.arch, root, path, maxAccounts);
    if (file !== null && file.size > maxAccounts)
      throw new IsletError("ISLET_BAD_CONFIG", `/${path} of ${spec.name} is larger than ${maxAccounts} bytes`);
    return file?.text ?? "";
  };
  const { users, faults } = boundUsers(
    wanted,
    { passwd: ofHost(host, "passwd"), group: ofHost(host, "group"), shadow: ofHost(host, "shadow") },
    {
      passwd: ofGuest("etc/passwd"),
      group: ofGuest("etc/group"),
      hasProgram: (path) => hasGuestProgram(host.arch, root, path.slice(1)),
    },
  );
  if (faults.length > 0)
    throw new IsletError("ISLET_BAD_CONFIG", `users of the host cannot be passed to ${spec.name}`, { faults });
  return users;
}

function ofHost(host: HostFacts, name: string): string {
  const path = join(host.accounts, name);
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    // Without one, nobody has a password there.
    if (name === "shadow" && (cause as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw new IsletError("ISLET_IO", `${path} cannot be read`, { cause });
  }
}
