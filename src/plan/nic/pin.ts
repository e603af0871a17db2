import { type Block, call, cwdFd, defer, ignore, imm, nil, slot, str } from "../../program/assembler.js";
import { close, openat } from "../../program/calls.js";
import type { Data } from "../../program/ops.js";
import { MNT_DETACH, MS_BIND, O_CREAT, O_RDONLY, UMOUNT_NOFOLLOW } from "../../sys/flags.js";
import type { StartContext } from "../context.js";

/**
 * Holds the container's network namespace while interfaces of the host's are in it: if the monitor is killed the namespace would end with the
 * guest, real interfaces would come to the host under whatever name they have by then, and virtual ones would be gone. A host where that
 * cannot be done goes without.
 */
export function planPin(context: StartContext, namespace: Data): void {
  const { monitor, build, start } = context;
  const pin = start.networkPin;
  if (pin === null) return;
  const goOn = ignore("any");
  const fd = slot(build, "pin");
  const remove = (block: Block): void => {
    const flags = imm(MNT_DETACH | UMOUNT_NOFOLLOW, "MNT_DETACH|UMOUNT_NOFOLLOW");
    call(block, "umount2", [str(build, pin), flags], { note: "hold the network namespace no longer", on: goOn });
    call(block, "unlinkat", [cwdFd, str(build, pin), imm(0)], { note: `remove ${pin}`, on: goOn });
  };
  defer(monitor, "let go of the network namespace", "hold the network namespace no longer at the end", remove);
  openat(monitor, cwdFd, pin, O_RDONLY | O_CREAT, fd, { note: `make ${pin}`, on: goOn }, 0o600);
  close(monitor, fd, `close ${pin}`);
  call(monitor, "mount", [namespace, str(build, pin), nil, imm(MS_BIND, "MS_BIND"), nil], {
    note: "hold the network namespace, whatever becomes of this process",
    on: goOn,
  });
}
