import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What the C compiler of this machine says: standard output of a program, or of `cc` with other arguments on the same text. */
export function runC(source: string, ccArguments?: readonly string[]): string {
  const dir = mkdtempSync(join(tmpdir(), "islt-cc-"));
  try {
    const file = join(dir, "t.c");
    writeFileSync(file, source);
    const options = { encoding: "utf8", timeout: 60_000, maxBuffer: 64 << 20 } as const;
    if (ccArguments !== undefined) return execFileSync("cc", [...ccArguments, file], options);
    const program = join(dir, "t");
    execFileSync("cc", ["-w", "-o", program, file], options);
    return execFileSync(program, options);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** `NAME NUMBER` lines as a map. */
export function numbers(output: string): ReadonlyMap<string, bigint> {
  return new Map(
    output
      .trim()
      .split("\n")
      .map((line) => line.split(" "))
      .map(([name = "", value = ""]) => [name, BigInt(value)]),
  );
}
