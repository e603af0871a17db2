import { readlinkSync } from "node:fs";
import type { Arch } from "../sys/arch.js";
import { cString } from "../sys/bytes.js";
import { netlinkMessage, raw } from "../sys/nlmsg.js";
import { requireSyscall } from "../sys/syscalls.js";
import { closeFd, syscall } from "./addon.js";

/** The kernel's audit: what programs may tell it (linux/audit.h, types 1100 to 1199 and 2100 to 2999). */

const AF_NETLINK = 16;
/** SOCK_RAW | SOCK_CLOEXEC. */
const rawSocket = 0o2000003;
const NETLINK_AUDIT = 9;
const NLM_F_REQUEST = 1;
const MSG_DONTWAIT = 0x40;

export interface AuditMessage {
  readonly type: number;
  readonly text: string;
  readonly isSuccess: boolean;
}

/** One message for the kernel, with what libaudit's audit_log_user_message(3) adds to each of a program that has no terminal. */
export function auditMessage({ type, text, isSuccess }: AuditMessage, seq: number, program: string): Uint8Array {
  const rest = `exe="${program}" hostname=? addr=? terminal=? res=${isSuccess ? "success" : "failed"}`;
  return netlinkMessage(type, NLM_F_REQUEST, seq, raw(cString(`${text} ${rest}`))).bytes;
}

/**
 * Tells the kernel's audit. Never fails: a kernel without audit has no such socket, in a container it takes nothing, and with audit off the kernel itself
 * throws the messages away.
 */
export function sendAudit(arch: Arch, messages: readonly AuditMessage[]): void {
  const fd = syscall(requireSyscall(arch, "socket"), [AF_NETLINK, rawSocket, NETLINK_AUDIT]);
  if (fd < 0) return;
  const program = readlinkSync("/proc/self/exe");
  for (const [index, message] of messages.entries()) {
    const bytes = auditMessage(message, index + 1, program);
    syscall(requireSyscall(arch, "sendto"), [fd, bytes, bytes.length, MSG_DONTWAIT, 0, 0]);
  }
  closeFd(fd);
}
