import { execFileSync } from "node:child_process";

/** Compiles a C file of the tests into a program that needs nothing of the guest it is put into. */
export function compileStatic(source: string, to: string): void {
  execFileSync("musl-gcc", ["-std=c11", "-Wall", "-Wextra", "-Werror", "-Os", "-static", "-s", "-o", to, source], {
    timeout: 60_000,
  });
}
