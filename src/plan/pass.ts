import { type Block, blob, call, compute, imm, load, store, within } from "../program/assembler.js";
import { close } from "../program/calls.js";
import type { Slot } from "../program/ops.js";
import { receiveMessage, sendMessage } from "../sys/structs.js";
import type { PassedMount } from "./mount.js";

/** Both ends of the socket pair between monitor and child. */
export interface Sockets {
  readonly outer: Slot;
  readonly inner: Slot;
}

/** Hands one mount from the monitor to the child over the socket pair (SCM_RIGHTS, unix(7)), with a byte that says whether there is one. */
export function passMount(outer: Block, inner: Block, sockets: Sockets, passed: PassedMount): void {
  const out = sendMessage(new Uint8Array(1), 1);
  const sent = blob(outer.build, out, `{${passed.tree.name}}`);
  store(outer, passed.present, within(sent, out.dataAt, 1), 1, `say whether ${passed.what} is there`);
  store(outer, passed.tree, within(sent, out.fdAt[0] ?? 0, 4), 4, `put ${passed.what} into the message`);
  call(outer, "sendmsg", [sockets.outer, sent, imm(0)], { note: `hand ${passed.what} to the container` });
  const into = receiveMessage(1, 1);
  const received = blob(inner.build, into, `{${passed.mount.name}}`);
  call(inner, "recvmsg", [sockets.inner, received, imm(0x40000000, "MSG_CMSG_CLOEXEC")], {
    note: `take ${passed.what} from the host's side`,
  });
  load(inner, passed.arrived, within(received, into.dataAt, 1), 1, `see whether ${passed.what} is there`, false);
  load(inner, passed.mount, within(received, into.fdAt[0] ?? 0, 4), 4, `take ${passed.what}`);
}

/** The same where there is always one; the monitor's copy is closed. */
export function passAlways(
  outer: Block,
  inner: Block,
  sockets: Sockets,
  tree: Slot,
  present: Slot,
  mount: Slot,
  arrived: Slot,
  what: string,
): void {
  compute(outer, present, "set", imm(1), null, `${what} is there`);
  passMount(outer, inner, sockets, { tree, present, mount, arrived, what });
  close(outer, tree, `close ${what}`);
}
