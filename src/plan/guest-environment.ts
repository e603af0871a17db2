import { parseOsRelease } from "../sys/os-release.js";
import type { StartContext } from "./context.js";
import { consoleInside } from "./console.js";

/** Of the host's os-release(5), where it has them. */
const hostKeys = ["ID", "BUILD_ID", "VARIANT_ID", "VERSION_ID"] as const;

/**
 * What init is told in its environment, and nobody else: commands that are run in the container later would pass it on to what they start, and
 * speak to the manager in init's name.
 */
export function guestEnvironment(context: StartContext): readonly string[] {
  const { guest } = context.spec;
  const facts = context.start.guest;
  const listen = context.start.listen;
  const out: string[] = [];
  if (guest.tellsInit && facts !== null) {
    out.push(`container_uuid=${facts.uuid}`);
    const ttys = ttyNames(context);
    if (ttys.length > 0) out.push(`container_ttys=${ttys.join(" ")}`);
    const release = parseOsRelease(facts.osRelease);
    for (const key of hostKeys) {
      const value = release.get(key) ?? "";
      if (value !== "") out.push(`container_host_${key.toLowerCase()}=${value}`);
    }
    if (context.start.terminal !== null) out.push(`TERM=${context.start.terminal}`);
  }
  if (guest.run !== null && facts !== null) {
    if (guest.run.credentials.length > 0) out.push("CREDENTIALS_DIRECTORY=/run/host/credentials");
    if (guest.run.notify) out.push("NOTIFY_SOCKET=/run/host/notify");
  }
  if (listen !== null && context.spec.init.mode === "exec") {
    out.push(`LISTEN_FDS=${listen.count}`, "LISTEN_PID=1");
    if (listen.names !== null) out.push(`LISTEN_FDNAMES=${listen.names}`);
  }
  return out;
}

/** A devpts gives its numbers from 0 on, in order: the console's comes first where it is from inside. */
function ttyNames(context: StartContext): readonly string[] {
  if (!context.spec.guest.ttysArePtys) return [];
  const first = consoleInside(context) ? 1 : 0;
  return Array.from({ length: context.spec.console.ttys }, (_, index) => `pts/${first + index}`);
}
