import { type Block, call, imm, slot } from "../program/assembler.js";
import { F_DUPFD_CLOEXEC } from "../sys/flags.js";
import type { StartContext } from "./context.js";

const first = 3;

/**
 * The sockets of whoever starts the container, as descriptors 3 and up of init's (sd_listen_fds(3)). All are moved out of the way before the first takes
 * its place: they, and the program to execute, may be where others go.
 */
export function planListen(context: StartContext, child: Block): void {
  const { slots, start } = context;
  if (start.listen === null || context.spec.init.mode !== "exec") return;
  const above = first + slots.listening.length;
  const moved = slots.listening.map((fd) => {
    const out = slot(context.build, `${fd.name}.moved`);
    call(child, "fcntl", [fd, imm(F_DUPFD_CLOEXEC, "F_DUPFD_CLOEXEC"), imm(above)], {
      note: `move ${fd.name} out of the way`,
      out,
    });
    return out;
  });
  moved.forEach((fd, index) => {
    call(child, "dup3", [fd, imm(first + index), imm(0)], {
      note: `descriptor ${first + index}: a socket to listen on`,
    });
  });
}
