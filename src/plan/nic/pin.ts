import {
  type Block,
  call,
  compute,
  cwdFd,
  defer,
  ignore,
  imm,
  jump,
  label,
  nil,
  place,
  slot,
  str,
} from "../../program/assembler.js";
import { close, openat } from "../../program/calls.js";
import type { Data, Slot } from "../../program/ops.js";
import { MNT_DETACH, MS_BIND, O_CREAT, O_RDONLY, UMOUNT_NOFOLLOW } from "../../sys/flags.js";
import type { StartContext } from "../context.js";

/**
 * Holds the container's network namespace while interfaces of the host's are in it: if the monitor is killed the namespace would end with the
 * guest, real interfaces would come to the host under whatever name they have by then, and virtual ones would be gone. A host where that
 * cannot be done goes without. Gives a slot: other than 0 at the end, it is held on, for the daemon to take back what the monitor could not.
 */
export function planPin(context: StartContext, namespace: Data): Slot {
  const { monitor, build, start } = context;
  const lost = slot(build, "lost");
  compute(monitor, lost, "set", imm(0), null, "no interface is lost");
  const pin = start.networkPin;
  if (pin === null) return lost;
  const goOn = ignore("any");
  const fd = slot(build, "pin");
  defer(
    monitor,
    "let go of the network namespace",
    "hold the network namespace no longer at the end",
    (undo: Block) => {
      const still = label("an interface is in it");
      const flags = imm(MNT_DETACH | UMOUNT_NOFOLLOW, "MNT_DETACH|UMOUNT_NOFOLLOW");
      jump(undo, still, "an interface is in it", "ne", lost, imm(0));
      call(undo, "umount2", [str(build, pin), flags], { note: "hold the network namespace no longer", on: goOn });
      call(undo, "unlinkat", [cwdFd, str(build, pin), imm(0)], { note: `remove ${pin}`, on: goOn });
      place(undo, still);
    },
  );
  const without = label("without it");
  const orWithout = [{ on: "any" as const, to: without }];
  openat(monitor, cwdFd, pin, O_RDONLY | O_CREAT, fd, { note: `make ${pin}`, on: orWithout }, 0o600);
  close(monitor, fd, `close ${pin}`);
  call(monitor, "mount", [namespace, str(build, pin), nil, imm(MS_BIND, "MS_BIND"), nil], {
    note: "hold the network namespace, whatever becomes of this process",
    on: orWithout,
  });
  place(monitor, without);
  return lost;
}
