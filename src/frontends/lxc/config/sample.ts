import type { ContainerSpec } from "../../../spec/spec.js";
import { parseConfig } from "./parse.js";
import { toSpec } from "./to-spec.js";
import { hostStat } from "./files.js";
import type { ConfigFiles } from "./model.js";

/** A configuration with a bit of everything a usual container has. Its files do not exist and nothing is ever made of it. */
const text = `lxc.net.0.type = empty
lxc.rootfs.path = dir:/var/lib/lxc/sample/rootfs
lxc.signal.halt = SIGUSR1
lxc.uts.name = "sample"
lxc.autodev = 1
lxc.tty.max = 4
lxc.pty.max = 1
lxc.cap.drop = sys_module mac_admin mac_override sys_time
lxc.mount.auto = cgroup:mixed proc:mixed sys:ro
lxc.mount.entry = shm dev/shm tmpfs defaults,create=dir 0 0
lxc.mount.entry = mqueue dev/mqueue mqueue defaults,optional,create=dir 0 0
lxc.mount.entry = /lib lib none ro,bind 0 0
lxc.mount.entry = /sys/kernel/security sys/kernel/security none ro,bind,optional 0 0
lxc.cgroup.devices.deny = a
lxc.cgroup.devices.allow = c 1:3 rwm
`;

const noFiles: ConfigFiles = { read: () => null, list: () => null };

/** The sample's specification, read anew at each call: the daemon rehearses starts with it. */
export function sampleSpec(): ContainerSpec {
  const file = "/var/lib/lxc/sample/config";
  const result = toSpec(parseConfig({ file, text, files: noFiles }), {
    name: "sample",
    storePath: "/var/lib/lxc",
    files: noFiles,
    stat: hostStat,
  });
  if (result.kind === "faults") throw new Error("the sample configuration is at fault");
  return result.spec;
}
