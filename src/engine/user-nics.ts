import { randomInt } from "node:crypto";
import { closeSync, openSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { IsletError } from "../base/errors.js";
import { linkInNamespace, numberOfNamespace, ownLink, ownLinks } from "../host/netns.js";
import { namespaceOwner } from "../host/peer.js";
import { planUserNic, planUserNicGone, type UserNicEnds } from "../plan/nic/user.js";
import type { LaunchProgram } from "../program/ops.js";
import { helperOutcome, type HelperResult, runHelper } from "../runtime/helper.js";
import type { HostFacts } from "../spec/host.js";
import {
  grantsOf,
  isLinkName,
  type NicGrant,
  type NicGrants,
  noBridge,
  type UserNic,
  type UserNicRemoval,
  type UserNicRequest,
} from "../spec/user-nic.js";
import { groupsOf, parseGroup, parsePasswd } from "../sys/accounts.js";
import { type NicAccount, type NicAccounts, openNicAccounts } from "./nic-accounts.js";
import { createChangeQueue } from "../base/queue.js";
import { ioError } from "../base/io-error.js";

/**
 * Nics that users of the host make for network namespaces of their own (lxc-user-nic(1)). Who asks is told by the kernel, what is granted by
 * the host's administrator; everything in a request is somebody's word. A nic is accounted for before it is made, under a lock that lasts
 * until it is there: nobody gets more than is granted, whoever is killed meanwhile.
 */
export interface UserNics {
  /** ISLET_PERMISSION: no such user, or not its namespace. ISLET_BUSY: nothing is granted, or all of it is used. */
  add(request: UserNicRequest): Promise<UserNic>;
  /** ISLET_PERMISSION also when the nic is not accounted to the user or its groups, or its inner end is somewhere else. */
  remove(request: UserNicRemoval): Promise<void>;
}

export interface UserNicOptions {
  /** Of islet. */
  readonly binary: string;
  /** What the host's administrator grants. */
  readonly grants: () => Promise<NicGrants>;
  /** The file of the accounts. */
  readonly accounts: string;
  /** Makes a bridge that is not there, if it is wanted. */
  readonly provideBridge: (name: string) => Promise<unknown>;
}

/** Milliseconds for making a nic, and as many for the lock. */
const patience = 10_000;
const type = "veth";

interface Asker {
  readonly name: string;
  readonly groups: readonly string[];
}

export function createUserNics(host: HostFacts, options: UserNicOptions): UserNics {
  const queue = createChangeQueue();
  /** One request at a time, with the accounts locked. */
  const withAccounts = <T>(work: (accounts: NicAccounts) => Promise<T>): Promise<T> =>
    queue.run("nics", async () => {
      const accounts = await openNicAccounts(host.arch, options.accounts, patience);
      try {
        return await work(accounts);
      } finally {
        accounts.close();
      }
    });

  const run = (program: LaunchProgram, fds: readonly number[]): Promise<HelperResult> =>
    runHelper(host.arch, options.binary, program, fds, patience);

  const removeLink = async (hostName: string): Promise<void> => {
    const program = planUserNicGone(hostName, host);
    check(program, await run(program, []), `remove ${hostName}`);
  };

  const make = async (ends: UserNicEnds, namespace: number, accounts: NicAccounts): Promise<UserNic> => {
    const program = planUserNic(ends, host);
    const result = await run(program, [namespace, accounts.fd]);
    // Nothing was made: whatever is called so is somebody else's.
    if (result.kind === "failed") check(program, result, "");
    try {
      check(program, result, `make ${ends.hostName}`);
      const near = ownLink(host.arch, ends.hostName);
      const far = near === null || near.link === null ? null : linkInNamespace(host.arch, namespace, near.link);
      if (near !== null && far !== null)
        return { name: far.name, index: far.index, hostName: near.name, hostIndex: near.index };
      throw new IsletError("ISLET_OPERATION_FAILED", `${ends.hostName} was taken away again at once`);
    } catch (error) {
      await removeLink(ends.hostName).catch((also: unknown) => {
        console.error(`cannot clean up after ${ends.hostName}`, also);
      });
      throw error;
    }
  };

  const account = async (
    request: UserNicRequest,
    granted: readonly NicGrant[],
    namespace: number,
    accounts: NicAccounts,
  ): Promise<UserNic> => {
    const { user, bridge } = request;
    const links = new Set(ownLinks(host.arch).map(({ name }) => name));
    const before = accounts.read((nic) => links.has(nic));
    const grant = granted.find(({ owner, most }) => countOf(before, owner, bridge) < most);
    if (grant === undefined) {
      accounts.write(before);
      throw quotaReached(`${granted.map(({ owner, most }) => `${owner} has ${most}`).join(", ")} on ${bridge}`);
    }
    const ends: UserNicEnds = {
      hostName: freeName(user.uid, links),
      hwaddr: Uint8Array.from([0xfe, ...Array.from({ length: 5 }, () => randomInt(256))]),
      name: request.name ?? "eth%d",
      bridge: bridge === noBridge ? null : { name: bridge, mtu: bridgeMtu(host, bridge) },
    };
    accounts.write([...before, { owner: grant.owner, type, bridge, nic: ends.hostName }]);
    try {
      return await make(ends, namespace, accounts);
    } catch (error) {
      // Otherwise it is there, and somebody has to have it.
      if (ownLink(host.arch, ends.hostName) === null) accounts.write(before);
      throw error;
    }
  };

  return {
    async add(request) {
      const { user, bridge, name } = request;
      if (name !== null && !isLinkName(name))
        throw new IsletError("ISLET_BAD_REQUEST", `${JSON.stringify(name)} cannot be the name of an interface`);
      const asker = askerOf(host, user.uid);
      const namespace = openNamespace(host, request, asker);
      try {
        const granted = grantsOf((await options.grants()).grants, asker.name, asker.groups, bridge);
        if (granted.every(({ most }) => most === 0))
          throw quotaReached(`nobody grants ${asker.name} a nic on ${JSON.stringify(bridge)}`);
        if (bridge !== noBridge && ownLink(host.arch, bridge) === null) await options.provideBridge(bridge);
        return await withAccounts((accounts) => account(request, granted, namespace, accounts));
      } finally {
        closeSync(namespace);
      }
    },
    async remove(request) {
      const { user, bridge, hostName } = request;
      const asker = askerOf(host, user.uid);
      const namespace = openNamespace(host, request, asker);
      try {
        await withAccounts(async (accounts) => {
          const links = new Map(ownLinks(host.arch).map((link) => [link.name, link]));
          const before = accounts.read((nic) => links.has(nic));
          const owners = [asker.name, ...asker.groups.map((group) => `@${group}`)];
          const mine = before.find((each) => each.nic === hostName && each.bridge === bridge && each.type === type);
          const inside = links.get(hostName)?.linkNetnsId ?? null;
          // What a group has may be another user's: where its inner end is tells whose it is.
          const isOwn =
            mine !== undefined &&
            owners.includes(mine.owner) &&
            inside !== null &&
            inside === numberOfNamespace(host.arch, namespace);
          if (!isOwn)
            throw new IsletError(
              "ISLET_PERMISSION",
              `Caller is not allowed to delete network device ${JSON.stringify(hostName)}`,
            );
          await removeLink(hostName);
          accounts.write(before.filter((each) => each !== mine));
        });
      } finally {
        closeSync(namespace);
      }
    },
  };
}

function check(program: LaunchProgram, result: HelperResult, what: string): void {
  const late = `cannot ${what}: its process was killed, or took longer than ${patience / 1000} s`;
  helperOutcome(program, result, () => new IsletError("ISLET_TIMEOUT", late));
}

const countOf = (accounts: readonly NicAccount[], owner: string, bridge: string): number =>
  accounts.filter((each) => each.owner === owner && each.type === type && each.bridge === bridge).length;

const quotaReached = (why: string): IsletError => new IsletError("ISLET_BUSY", "Quota reached", { hint: why });

/** By the host's accounts: what groups the process of the user says it has does not count. */
function askerOf(host: HostFacts, uid: number): Asker {
  const read = (name: string): string => {
    try {
      return readFileSync(join(host.accounts, name), "utf8");
    } catch (error) {
      throw ioError(`read ${join(host.accounts, name)}`, error);
    }
  };
  const account = parsePasswd(read("passwd")).find((each) => each.uid === uid);
  if (account === undefined)
    throw new IsletError("ISLET_PERMISSION", `Failed to get username: ${uid}`, {
      hint: `${join(host.accounts, "passwd")} has no such user`,
    });
  return { name: account.name, groups: groupsOf(account, parseGroup(read("group"))) };
}

/**
 * The network namespace of a process, opened once: whatever process has that number later, this is the one that was looked at. It must be
 * its user's, or for root any but our own.
 */
function openNamespace(host: HostFacts, { user, pid }: Pick<UserNicRequest, "user" | "pid">, { name }: Asker): number {
  const refused = new IsletError("ISLET_PERMISSION", `User ${name} may not modify netns for pid ${pid}`);
  if (!Number.isInteger(pid) || pid < 1) throw refused;
  let namespace: number;
  try {
    namespace = openSync(`/proc/${pid}/ns/net`, "r");
  } catch {
    throw refused;
  }
  const isOwn = statSync("/proc/self/ns/net").ino === statSync(`/proc/self/fd/${namespace}`).ino;
  if (!isOwn && (user.uid === 0 || namespaceOwner(host.arch, namespace) === user.uid)) return namespace;
  closeSync(namespace);
  throw refused;
}

/** A bridge's; a port with a smaller one would make the bridge's smaller. */
function bridgeMtu(host: HostFacts, name: string): number | null {
  const bridge = ownLink(host.arch, name);
  if (bridge === null)
    throw new IsletError("ISLET_UNSUPPORTED", `there is no bridge ${name} on the host`, { hint: "make it first" });
  if (bridge.kind !== "bridge")
    throw new IsletError("ISLET_UNSUPPORTED", `${name} is no bridge of the kernel's, which nics of users can be on`);
  return bridge.mtu;
}

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/** vethUID_XXXX, as LXC calls them, or vethXXXXXX for root and for users whose number has no room in a name. */
function freeName(uid: number, taken: ReadonlySet<string>): string {
  const [begin, length] = uid === 0 || uid > 999_999 ? ["veth", 6] : [`veth${uid}_`, 4];
  for (;;) {
    const digits = Array.from({ length }, () => letters[randomInt(letters.length)]).join("");
    if (!taken.has(begin + digits)) return begin + digits;
  }
}
