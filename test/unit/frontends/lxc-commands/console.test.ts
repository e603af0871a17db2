import assert from "node:assert/strict";
import { closeSync, openSync } from "node:fs";
import { connect, createServer } from "node:net";
import { describe, it, type TestContext } from "node:test";
import { IsletError } from "../../../../src/base/errors.js";
import type { CommandSession, Engine, TakenTerminal } from "../../../../src/engine/engine.js";
import { console as lxcConsole, parseEscape, parseTty } from "../../../../src/frontends/lxc/commands/console.js";
import { runningContainer, tool, type Outcome } from "./canned.js";

const running = [runningContainer("web")];

describe("options of lxc-console", () => {
  it("an escape prefix is a letter, alone or after ^, as LXC counts; what is no letter is no key", () => {
    assert.deepEqual(["^a", "a", "A", "^B", "z", "{"].map(parseEscape), [1, 1, 1, 2, 26, 27]);
    assert.deepEqual(["", "^", "@", "5", "-1", "^[", "é"].map(parseEscape), [null, null, null, null, null, null, null]);
  });
  it("a tty is a number as strtoul reads it with any base", () => {
    assert.deepEqual(["0", "1", " 2", "+3", "0x10", "010"].map(parseTty), [0, 1, 2, 3, 16, 8]);
    assert.equal(parseTty(null), null);
    assert.equal(parseTty("4294967295"), null); // -1, which LXC takes for "any"
    for (const text of ["", "abc", "-1", "1x", "08", "4294967296"])
      assert.throws(() => parseTty(text), /is not the number/);
  });
});

interface Joined {
  readonly options: Parameters<CommandSession["relay"]>[1];
  readonly descriptor: number;
}

/** What lxc-console says and does with a terminal that was taken. `input`: a descriptor for its standard input. */
async function consoleOf(
  input: number,
  args: readonly string[],
  taken: Partial<TakenTerminal>,
  relay: (joined: Joined) => Promise<"closed" | "escape"> = () => Promise.resolve("closed"),
): Promise<{ readonly status: number; readonly stderr: string; readonly released: number; readonly sizes: string[] }> {
  let released = 0;
  let stderr = "";
  const sizes: string[] = [];
  const engine: Partial<Engine> = {
    status: () => Promise.resolve(runningContainer("web")),
    takeTerminal: () =>
      Promise.resolve({
        number: 1,
        descriptor: 77,
        lease: 78,
        isInUse: true,
        release: () => {
          released += 1;
        },
        ...taken,
      }),
    resizeConsole: (_id, rows, columns) => {
      sizes.push(`${rows}x${columns}`);
      return Promise.resolve();
    },
  };
  const session: CommandSession = {
    argv: ["lxc-console", "-P", "/canned", "web", ...args],
    caller: { uid: 0, gid: 0, pid: 1, environment: {}, cwd: "/" },
    stdio: [input, 1, 2],
    listen: { fds: [], names: null },
    terminals: [true, true, true],
    rows: 24,
    columns: 80,
    write: (_descriptor, text) => {
      stderr += typeof text === "string" ? text : Buffer.from(text).toString();
    },
    run: () => Promise.reject(new Error("nothing is run")),
    relay: (descriptor, options) => relay({ descriptor, options }),
    screen: () => {
      throw new Error("nothing is drawn");
    },
    gone: new Promise<never>(() => undefined),
  };
  const status = await lxcConsole(session, engine as Engine);
  return { status, stderr, released, sizes };
}

/** A socket's descriptor: something that can be waited for. */
async function pollable(t: TestContext): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const socket = connect(typeof address === "object" && address !== null ? address.port : 0, "127.0.0.1");
  await new Promise<void>((resolve) => socket.once("connect", resolve));
  t.after(() => {
    socket.destroy();
    server.close();
  });
  return (socket as unknown as { readonly _handle: { readonly fd: number } })._handle.fd;
}

const bannerOf = (number: number, key: string): string =>
  `\nConnected to tty ${number}\nType <Ctrl+${key} q> to exit the console, <Ctrl+${key} Ctrl+${key}> to enter Ctrl+${key} itself\n`;

describe("lxc-console", () => {
  const refused = (error: IsletError): Promise<Outcome> =>
    tool(["lxc-console", "web", "-t", "3"], { running, engine: { takeTerminal: () => Promise.reject(error) } });

  it("says that the container is not running, with status 1", async () => {
    const { status, stderr } = await tool(["lxc-console", "web"]);
    assert.deepEqual([status, stderr], [1, "lxc-console: web: web is not running\n"]);
  });
  it("refuses a tty that is no number before anything else", async () => {
    const { status, stderr, calls } = await tool(["lxc-console", "web", "-t", "abc"], { running });
    assert.equal(status, 1);
    assert.match(stderr, /\nlxc-console: could not parse command line\n$/);
    assert.deepEqual(calls, []);
  });
  it("says why a tty cannot be had, and then LXC's words", async () => {
    const busy = await refused(new IsletError("ISLET_BUSY", "tty 3 of web is in use"));
    assert.deepEqual(
      [busy.status, busy.stderr],
      [1, "lxc-console: web: tty 3 of web is in use\nlxc-console: web: Denied access to tty\n"],
    );
    const absent = await refused(new IsletError("ISLET_BAD_REQUEST", "web has no tty 3"));
    assert.match(absent.stderr, /web has no tty 3\n.*Denied access to tty\n$/);
  });
  it("refuses an input that cannot be waited for, and gives the tty back", async (t) => {
    const input = openSync("/dev/null", "r");
    t.after(() => closeSync(input));
    const { status, stderr, released } = await consoleOf(input, [], {});
    assert.equal(status, 1);
    assert.match(stderr, /Failed to add stdin handler\n$/);
    assert.equal(released, 1);
  });
  it("prints LXC's banner, joins the tty with its lease, and returns 0", async (t) => {
    const joined: Joined[] = [];
    const { status, stderr, released, sizes } = await consoleOf(await pollable(t), ["-e", "^B"], {}, (one) => {
      joined.push(one);
      return Promise.resolve("escape");
    });
    assert.deepEqual([status, stderr, released, sizes], [0, bannerOf(1, "b"), 1, []]);
    assert.equal(joined[0]?.descriptor, 77);
    assert.equal(joined[0]?.options.lease, 78);
    assert.equal(joined[0]?.options.escape, 2);
    assert.equal(joined[0]?.options.endsWithInput, true);
  });
  it("has no banner without an escape key", async (t) => {
    const { stderr } = await consoleOf(await pollable(t), ["-e", "@"], {});
    assert.equal(stderr, "");
  });
  it("tells when nothing in the container uses the tty, unless it shall be quiet", async (t) => {
    const input = await pollable(t);
    const { stderr } = await consoleOf(input, [], { number: 4, isInUse: false });
    assert.equal(
      stderr,
      `${bannerOf(4, "a")}lxc-console: web: nothing in the container has tty 4 as its terminal: a login prompt needs a getty there\n`,
    );
    assert.equal((await consoleOf(input, ["-q"], { number: 4, isInUse: false })).stderr, bannerOf(4, "a"));
  });
  it("gives the console the size of the terminal, first and later", async (t) => {
    const { sizes } = await consoleOf(await pollable(t), ["-t", "0"], { number: 0, lease: null }, ({ options }) => {
      options.onResize(50, 132);
      return Promise.resolve("closed");
    });
    assert.deepEqual(sizes, ["24x80", "50x132"]);
  });
  it("SIGTERM leaves with status 0, others as if they had killed it", async (t) => {
    const input = await pollable(t);
    const signalled = async (signal: number): Promise<number> => {
      const { status, released } = await consoleOf(input, [], {}, ({ options }) => {
        options.onSignal?.(signal);
        return new Promise(() => undefined);
      });
      assert.equal(released, 1);
      return status;
    };
    assert.deepEqual([await signalled(15), await signalled(1), await signalled(2)], [0, 129, 130]);
  });
});
