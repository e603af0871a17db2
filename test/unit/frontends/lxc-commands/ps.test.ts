import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ClientTask, Engine } from "../../../../src/engine/engine.js";
import { pidColumn, pidOfLine, splitPsWords } from "../../../../src/frontends/lxc/commands/ps.js";
import { runningContainer, tool } from "./canned.js";

const task: ClientTask = { image: new Uint8Array(), fds: [], explainFailure: () => new Error("never") };

/** An engine whose ps prints this. */
function printing(text: string, seen: string[][] = []): Partial<Engine> {
  return {
    hostOutput: (argv) => {
      seen.push([...argv]);
      const chunks = [text.slice(0, 7), text.slice(7)].map((part) => new TextEncoder().encode(part));
      const output = (async function* () {
        for (const chunk of chunks) yield await Promise.resolve(chunk);
      })();
      return Promise.resolve({ task, output, handedOver: () => undefined });
    },
    containersOf: (_store, pids) =>
      Promise.resolve(
        new Map(
          [
            [20, "web1"],
            [30, "a-very-long-name"],
          ].filter((entry): entry is [number, string] => pids.includes(Number(entry[0]))),
        ),
      ),
  };
}

const plain = `  PID TTY          TIME CMD
   10 ?        00:00:00 sshd
   20 ?        00:00:00 init
   30 ?        00:00:00 init
`;

const running = [runningContainer("web1")];
const run = (): Promise<number> => Promise.resolve(0);

describe("lxc-ps", () => {
  it("puts the container before each line of ps, nothing before those of the host", async () => {
    const { stdout, status } = await tool(["lxc-ps"], { running, run, engine: printing(plain) });
    assert.equal(status, 0);
    assert.equal(
      stdout,
      `CONTAINER    PID TTY          TIME CMD
              10 ?        00:00:00 sshd
web1          20 ?        00:00:00 init
a-very-long-name    30 ?        00:00:00 init
`,
    );
  });

  it("leaves out the host with --lxc and other containers with --name, and asks ps for every process then", async () => {
    const seen: string[][] = [];
    const engine = printing(plain, seen);
    const all = await tool(["lxc-ps", "--lxc", "--", "-ef"], { running, run, engine });
    assert.deepEqual(all.stdout.match(/\d\d \?/g), ["20 ?", "30 ?"]);
    const one = await tool(["lxc-ps", "-n", "web1,other", "aux"], { running, run, engine });
    assert.deepEqual(one.stdout.match(/\d\d \?/g), ["20 ?"]);
    assert.equal(one.stderr, "lxc-ps: other is not running\n");
    assert.deepEqual(seen, [
      ["ps", "-e", "-ef"],
      ["ps", "-e", "aux"],
    ]);
  });

  it("tells the containers of all directories, or of those that -P names", async () => {
    const owners: Readonly<Record<string, readonly [number, string]>> = { "/a": [20, "web1"], "/b": [30, "web2"] };
    const engine: Partial<Engine> = {
      ...printing(plain),
      activeStores: () => Promise.resolve(Object.keys(owners)),
      active: (store) => {
        const name = owners[store]?.[1];
        return Promise.resolve(name === undefined ? [] : [{ ...runningContainer(name), storePath: store }]);
      },
      containersOf: (store) => Promise.resolve(new Map(owners[store] === undefined ? [] : [owners[store]])),
    };
    const shown = async (...words: readonly string[]): Promise<string> => {
      const { stdout } = await tool(["lxc-ps", ...words, "--lxc"], { run, engine, plain: true });
      return stdout
        .split("\n")
        .slice(1, -1)
        .map((line) => line.split(" ")[0])
        .join(" ");
    };
    assert.equal(await shown(), "web1 web2");
    assert.equal(await shown("-P", "/b"), "web2");
    assert.equal(await shown("-P", "/b", "-P", "/a", "--lxcpath", "/b"), "web1 web2");
    assert.equal(await shown("-P", "/c"), "");
  });

  it("removes control characters from what processes call themselves", async () => {
    const text = "  PID CMD\n   20 a\u001b[2Jb\u009bc\u007fd\te\n";
    const { stdout } = await tool(["lxc-ps"], { running, run, engine: printing(text) });
    assert.equal(stdout.split("\n")[1], "web1          20 a[2Jbcd\te");
  });

  it("has the exit status of ps, and fails where no PID column is", async () => {
    const failed = await tool(["lxc-ps"], { running, run: () => Promise.resolve(3), engine: printing("") });
    assert.equal(failed.status, 3);
    const none = await tool(["lxc-ps", "--", "-o", "comm"], { running, run, engine: printing("COMMAND\nx\n") });
    assert.equal(none.status, 1);
    assert.equal(none.stdout, "");
    assert.match(none.stderr, /^lxc-ps: no PID column found in `ps' output; /);
  });

  it("takes its own options up to the first word that is none", () => {
    const split = (...words: readonly string[]): readonly string[] => splitPsWords(["lxc-ps", ...words]).slice(1);
    assert.deepEqual(split("-n", "a", "--lxc", "-ef"), ["-n", "a", "--lxc", "--", "-ef"]);
    assert.deepEqual(split("--name=a", "aux", "--lxc"), ["--name=a", "--", "aux", "--lxc"]);
    assert.deepEqual(split("-P", "/x", "--", "-P"), ["-P", "/x", "--", "-P"]);
    assert.deepEqual(split("--forest"), ["--", "--forest"]);
    assert.deepEqual(split(), ["--"]);
  });

  it("reads the pid by its place in the header", () => {
    const end = pidColumn("UID          PID    PPID CMD") ?? 0;
    assert.equal(end, 16);
    assert.equal(pidOfLine("root       12345       1 /bin/99", end), 12345);
    assert.equal(pidColumn("USER PPID CMD"), null);
    assert.equal(pidOfLine("", 5), null);
  });
});
