import { errorLines, IsletError } from "../base/errors.js";
import type { Command, CommandSession, Engine } from "../engine/engine.js";
import { closeFd } from "../host/addon.js";
import { type Channel, openChannel } from "../host/channel.js";
import { isAlive, sharesNamespace } from "../host/peer.js";
import { clientFrames, decodeHello, writer } from "../host/protocol.js";
import type { HostFacts } from "../spec/host.js";
import type { Visitor } from "../host/door.js";

/**
 * Sessions of users who are not root. They speak as clients do (docs/protocol/control.md), but the one command that there is for them gets their
 * words and what the kernel says of them, and nothing else: no descriptors, no directory, no environment, nothing to run.
 */
export interface UserSessions {
  /** Takes over a connection. */
  readonly accept: (visitor: Visitor) => void;
}

/** Bytes of a request. */
const maxFrame = 8192;
const protocolVersion = 1;
/** Milliseconds for the request to arrive; how long a visitor stays at most the door sees to. */
const helloTime = 5000;

/** `command` is called by the name `tool`. */
export function createUserSessions(
  { arch }: Pick<HostFacts, "arch">,
  engine: Engine,
  tool: string,
  command: () => Promise<Command>,
): UserSessions {
  return {
    accept(visitor) {
      let isAsked = false;
      const timer = setTimeout(() => {
        channel.close();
      }, helloTime);
      const channel = openChannel(visitor.fd, maxFrame, {
        frame: ({ type, payload, fds }) => {
          for (const unwanted of fds) closeFd(unwanted);
          if (isAsked || type !== clientFrames.hello) {
            channel.close();
            return;
          }
          isAsked = true;
          clearTimeout(timer);
          answer(channel, visitor, payload).catch((error: unknown) => {
            // It broke the protocol, or left.
            if (!(error instanceof IsletError)) console.error(error);
            channel.close();
          });
        },
        closed: () => {
          clearTimeout(timer);
          if (visitor.pidfd !== null) closeFd(visitor.pidfd);
        },
      });
      channel.poke();
    },
  };

  async function answer(channel: Channel, visitor: Visitor, payload: Uint8Array): Promise<void> {
    const { version, argv } = decodeHello(payload);
    if (version !== protocolVersion) throw new IsletError("ISLET_PROTOCOL", "a client of another version");
    const write = (descriptor: 1 | 2, text: string | Uint8Array): void => {
      const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
      channel.send(clientFrames.out, writer().u32(descriptor).raw(bytes).finish());
    };
    let code = 1;
    try {
      requireNeighbour(visitor);
      code = await (await command())(userSession([tool, ...argv.slice(1)], visitor, write), engine);
    } catch (error) {
      for (const line of errorLines(error)) write(2, `${tool}: ${line}\n`);
      if (!(error instanceof IsletError)) console.error(error);
    }
    channel.send(clientFrames.exit, writer().u32(code).finish());
    channel.end();
  }

  /** A pid that it names must mean the same to us, and root of a container's user namespace is nobody here. */
  function requireNeighbour({ pid, pidfd }: Visitor): void {
    const isNeighbour = sharesNamespace(pid, "pid") && sharesNamespace(pid, "user");
    // Had it ended meanwhile, its number might have been somebody else's by now.
    if (isNeighbour && (pidfd === null || isAlive(arch, pidfd))) return;
    throw new IsletError("ISLET_PERMISSION", "the caller is not in the host's pid and user namespaces");
  }
}

function userSession(
  argv: readonly string[],
  { uid, gid, pid }: Visitor,
  write: CommandSession["write"],
): CommandSession {
  const refuse = (): never => {
    throw new IsletError("ISLET_PERMISSION", "nothing is run for users who are not root");
  };
  return {
    argv,
    caller: { uid, gid, pid, environment: {}, cwd: "/" },
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
