import { errorLines, IsletError } from "../base/errors.js";
import type { Command, CommandSession, Engine } from "../engine/engine.js";
import { closeFd, peerCredentials } from "../host/addon.js";
import { openChannel } from "../host/channel.js";
import { isAlive, peerPidfd, sharesNamespace } from "../host/peer.js";
import { clientFrames, decodeHello, writer } from "../host/protocol.js";
import type { HostFacts } from "../spec/host.js";

/**
 * Sessions of users who are not root. They speak as clients do (docs/protocol/control.md), but the one command that there is for them gets their
 * words and what the kernel says of them, and nothing else: no descriptors, no directory, no environment, nothing to run.
 */
export interface UserSessions {
  /** Takes over a connection. */
  readonly accept: (fd: number) => void;
}

/** Bytes of a request. */
const maxFrame = 8192;
const protocolVersion = 1;
/** Connections at a time: of all users, and of each of them. */
const most = 64;
const mostOfUser = 16;
/** Milliseconds for the request to arrive, and for all of it: engine and helper have less. */
const helloTime = 5000;
const wholeTime = 60_000;

/** `command` is called by the name `tool`. */
export function createUserSessions(
  { arch }: Pick<HostFacts, "arch">,
  engine: Engine,
  tool: string,
  command: () => Promise<Command>,
): UserSessions {
  const ofUser = new Map<number, number>();
  let count = 0;
  const leave = (uid: number): void => {
    count -= 1;
    const left = (ofUser.get(uid) ?? 1) - 1;
    if (left > 0) ofUser.set(uid, left);
    else ofUser.delete(uid);
  };
  return {
    accept(fd) {
      const { uid, gid, pid } = peerCredentials(fd);
      const mine = ofUser.get(uid) ?? 0;
      // Root has a door of its own. Whoever is one too many asks again: islet's client does.
      if (uid === 0 || pid === 0 || count >= most || mine >= mostOfUser) {
        closeFd(fd);
        return;
      }
      count += 1;
      ofUser.set(uid, mine + 1);
      serve(fd, { uid, gid, pid });
    },
  };

  function serve(fd: number, peer: { readonly uid: number; readonly gid: number; readonly pid: number }): void {
    let isAsked = false;
    const timers = [helloTime, wholeTime].map((time) =>
      setTimeout(() => {
        channel.close();
      }, time),
    );
    const channel = openChannel(
      fd,
      maxFrame,
      {
        frame: ({ type, payload, fds }) => {
          for (const unwanted of fds) closeFd(unwanted);
          if (isAsked || type !== clientFrames.hello) {
            channel.close();
            return;
          }
          isAsked = true;
          clearTimeout(timers[0]);
          answer(payload).catch((error: unknown) => {
            // It broke the protocol, or left.
            if (!(error instanceof IsletError)) console.error(error);
            channel.close();
          });
        },
        closed: () => {
          for (const timer of timers) clearTimeout(timer);
          leave(peer.uid);
        },
      },
      0,
    );

    const answer = async (payload: Uint8Array): Promise<void> => {
      const { version, argv } = decodeHello(payload);
      if (version !== protocolVersion) throw new IsletError("ISLET_PROTOCOL", "a client of another version");
      const write = (descriptor: 1 | 2, text: string | Uint8Array): void => {
        const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
        channel.send(clientFrames.out, writer().u32(descriptor).raw(bytes).finish());
      };
      let code = 1;
      try {
        requireNeighbour(fd, peer.pid);
        code = await (await command())(userSession([tool, ...argv.slice(1)], peer, write), engine);
      } catch (error) {
        for (const line of errorLines(error)) write(2, `${tool}: ${line}\n`);
        if (!(error instanceof IsletError)) console.error(error);
      }
      channel.send(clientFrames.exit, writer().u32(code).finish());
      channel.end();
    };
    channel.poke();
  }

  /** A pid that it names must mean the same to us, and root of a container's user namespace is nobody here. */
  function requireNeighbour(fd: number, pid: number): void {
    const pidfd = peerPidfd(arch, fd);
    try {
      const isNeighbour = pidfd !== "gone" && sharesNamespace(pid, "pid") && sharesNamespace(pid, "user");
      // Had it ended meanwhile, its number might have been somebody else's by now.
      if (isNeighbour && (pidfd === null || isAlive(arch, pidfd))) return;
    } finally {
      if (typeof pidfd === "number") closeFd(pidfd);
    }
    throw new IsletError("ISLET_PERMISSION", "the caller is not in the host's pid and user namespaces");
  }
}

function userSession(
  argv: readonly string[],
  peer: { readonly uid: number; readonly gid: number; readonly pid: number },
  write: CommandSession["write"],
): CommandSession {
  const refuse = (): never => {
    throw new IsletError("ISLET_PERMISSION", "nothing is run for users who are not root");
  };
  return {
    argv,
    caller: { ...peer, environment: {}, cwd: "/" },
    stdio: [-1, -1, -1],
    listen: { fds: [], names: null },
    terminals: [false, false, false],
    rows: 0,
    columns: 0,
    // Nobody waits for it: what has begun is brought to its end.
    gone: new Promise(() => undefined),
    write,
    run: refuse,
    relay: refuse,
    screen: refuse,
  };
}
