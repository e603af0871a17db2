import { type Block, call, data, goOn, ignore, imm, jump, label, place, slot, str } from "../program/assembler.js";
import { close, openat, openat2 } from "../program/calls.js";
import type { Slot } from "../program/ops.js";
import { O_CREAT, O_EXCL, O_PATH, O_WRONLY, openFlags } from "../sys/flags.js";
import type { StartContext } from "./context.js";
import { insideRoot, insideRootNoLinks } from "./mount.js";

const draft = ".islet-localtime";

/**
 * The guest's /etc/localtime as the host's: replaced whole, beneath an /etc that is no link. Whatever stands in the way (a root file system that is
 * read-only, no /etc) leaves the guest its own: a start does not fail over the time of day.
 */
export function planLocaltime(context: StartContext, child: Block, root: Slot): void {
  const { localtime: mode } = context.spec.guest;
  const host = context.start.guest?.localtime ?? null;
  if (mode === "off" || host === null) return;
  const { build } = context;
  const etc = slot(build, "etc");
  const over = label("the time zone is settled");
  const on = goOn(over, "any");
  const note = "give the guest the host's time zone";
  openat2(child, root, "etc", O_PATH | openFlags(build.arch).O_DIRECTORY, insideRootNoLinks, etc, { note, on });
  if (mode !== "copy" && host.zone !== null) {
    const missing = label("no such zone");
    const zone = slot(build, "zone");
    openat2(child, root, `usr/share/zoneinfo/${host.zone}`, O_PATH, insideRoot, zone, {
      note: `look for ${host.zone} in the guest`,
      on: goOn(missing, "any"),
    });
    close(child, zone, "close the zone");
    unlinkDraft(child, etc);
    call(child, "symlinkat", [str(build, `../usr/share/zoneinfo/${host.zone}`), etc, str(build, draft)], { note, on });
    publish(child, etc, note);
    jump(child, over, "it is linked");
    place(child, missing);
  }
  if (mode !== "symlink" && host.data.length > 0) {
    const fd = slot(build, "localtime");
    unlinkDraft(child, etc);
    openat(child, etc, draft, O_WRONLY | O_CREAT | O_EXCL, fd, { note, on }, 0o644);
    call(
      child,
      "write",
      [fd, data(build, host.data, `[${host.data.length} bytes of the host's]`, 1), imm(host.data.length)],
      {
        note,
        on,
        full: true,
      },
    );
    close(child, fd, "close the time zone's file");
    publish(child, etc, note);
  }
  place(child, over);
}

function unlinkDraft(child: Block, etc: Slot): void {
  call(child, "unlinkat", [etc, str(child.build, draft), imm(0)], {
    note: "remove what an earlier start left",
    on: ignore("any"),
  });
}

function publish(child: Block, etc: Slot, note: string): void {
  call(child, "renameat2", [etc, str(child.build, draft), etc, str(child.build, "localtime"), imm(0)], {
    note,
    on: ignore("any"),
  });
}
