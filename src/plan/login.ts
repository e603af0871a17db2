import { type Block, call, imm, str } from "../program/assembler.js";
import type { Slot } from "../program/ops.js";
import type { LoginFacts } from "../spec/host.js";
import type { InitSpec, LoginSpec } from "../spec/process.js";
import { parseGroup, parsePasswd } from "../sys/accounts.js";
import type { StartContext } from "./context.js";

/** The highest id that is no sign of an error ((uid_t) -1). */
const maxId = 4_294_967_294;

/** The guest's own files say who that is; a text: what is wrong. */
export function loginFacts(login: LoginSpec, passwd: string, group: string): LoginFacts | string {
  const users = parsePasswd(passwd);
  const groups = parseGroup(group);
  const uid = login.user === null ? 0 : idOf(login.user, users.find(({ name }) => name === login.user)?.uid);
  if (uid === null) return `User ${login.user ?? ""} doesn't exist`;
  const user = users.find((one) => one.name === login.user) ?? users.find((one) => one.uid === uid);
  const named = groups.find(({ name }) => name === login.group)?.gid;
  const gid = login.group === null ? (user?.gid ?? 0) : idOf(login.group, named);
  if (gid === null) return `Group ${login.group ?? ""} doesn't exist`;
  // Root has none, as without any login.
  const isIn = groups.filter(({ members }) => login.user !== null && user !== undefined && members.includes(user.name));
  return { uid, gid, groups: [...new Set([...isIn.map((one) => one.gid), ...(isIn.length === 0 ? [] : [gid])])] };
}

/** By name first, as user names may be digits; `+7` is never a name. */
function idOf(text: string, named: number | undefined): number | null {
  if (named !== undefined && !text.startsWith("+")) return named;
  return /^\+?[0-9]{1,10}$/.test(text) && Number(text) <= maxId ? Number(text) : null;
}

/** The ids of the main process. */
export function initIds({ spec, start }: StartContext): Pick<InitSpec, "uid" | "gid" | "groups"> {
  return start.login ?? spec.init;
}

/** A shell that is not root's has job control only on a terminal of its user's. */
export function giveTerminal(context: StartContext, child: Block, terminal: Slot | null): void {
  const uid = context.start.login?.uid ?? 0;
  if (uid === 0 || terminal === null) return;
  const keep = imm(0xffff_ffff, "-1");
  call(child, "fchownat", [terminal, str(context.build, ""), imm(uid), keep, imm(0x1000, "AT_EMPTY_PATH")], {
    note: `give the console to user ${uid}`,
  });
}
