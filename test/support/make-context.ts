import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { root } from "./paths.js";
import type { MakeContext } from "../../src/image/maker.js";
import { archFromUname } from "../../src/sys/arch.js";

/** What a maker works with, without a daemon: programs are children of the test, and may write everywhere. */
export function makeContext(cache: string, own: Partial<MakeContext> = {}): MakeContext {
  return {
    arch: archFromUname(process.arch) ?? "x86_64",
    binary: `${root}/build/islet`,
    environment: {},
    cwd: "/",
    cache,
    progress: () => undefined,
    notice: () => undefined,
    signal: new AbortController().signal,
    async run([program = "", ...words], options = {}) {
      const child = spawn(program, words, {
        stdio: [options.input ?? "ignore", "pipe", "pipe"],
        env: { ...process.env, ...options.environment },
      });
      options.started?.();
      const lastLines: string[] = [];
      for (const stream of [child.stdout, child.stderr]) {
        if (stream === null) continue;
        createInterface(stream).on("line", (line) => {
          lastLines.push(line);
          options.line?.(line);
        });
      }
      const status = await new Promise<number>((resolve, reject) => {
        child.on("error", reject);
        child.on("close", (code) => {
          resolve(code ?? 137);
        });
      });
      return { status, lastLines };
    },
    ...own,
  };
}
