import { isUtf8 } from "node:buffer";
import {
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  writeFileSync,
} from "node:fs";
import { resolve } from "node:path";
import { showFault } from "../../../base/source.js";
import type { Command } from "../../../engine/engine.js";
import { fileProblem } from "./container-config.js";
import { type CommandTable, parseOptions } from "./getopt.js";
import { moderniseSource } from "./load.js";
import { option } from "./options.js";
import { withTable } from "./tabled.js";

export const updateConfigTable: CommandTable = {
  tool: "lxc-update-config",
  synopsis: "-c FILE",
  description: "Rewrites a configuration of LXC 0.7 to 2.0 with the keys of today; FILE.backup keeps what it was.",
  options: [
    option("config", "the configuration", { short: "c", argument: "FILE" }),
    option("help", "show the usage", { short: "h" }),
  ],
  operands: "any",
  named: false,
  notes: [
    "islet reads old keys as they are; LXC 3 and later need this. Values, comments and blanks stay; settings that were commented out get today's names as well, except unnumbered `lxc.network` lines.",
    "Network devices are numbered as islet reads them. A `lxc.network` line before any `lxc.network.type` is refused: nothing is written then.",
    "Files are written whole or not at all, a symbolic link stays one. A second run changes nothing and leaves FILE.backup alone.",
  ],
};

const maxSize = 1024 * 1024;

interface Original {
  readonly bytes: Buffer;
  readonly stat: Stats;
}

function readOriginal(file: string): Original {
  // A fifo in its place must stop nobody.
  const fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile() || stat.size > maxSize) throw new Error("not a plain file of a sane size");
    return { bytes: readFileSync(fd), stat };
  } finally {
    closeSync(fd);
  }
}

/** Replaces a file whole, with the owner and mode of the original. Follows no link: the directory may be another user's. */
function writeLike(file: string, bytes: Uint8Array, { stat }: Original): void {
  const temporary = `${file}.islet-${process.pid}`;
  rmSync(temporary, { force: true });
  const fd = openSync(
    temporary,
    constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
    0o600,
  );
  try {
    try {
      writeFileSync(fd, bytes);
      fchownSync(fd, stat.uid, stat.gid);
      fchmodSync(fd, stat.mode & 0o7777);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

export const updateConfig: Command = withTable(updateConfigTable, (session) => {
  const { caller } = session;
  const [tool = "lxc-update-config", ...words] = session.argv;
  const finish = (status: number): Promise<number> => Promise.resolve(status);
  const refuse = (text: string): Promise<number> => {
    session.write(2, `${tool}: ${text}\n`);
    return finish(1);
  };

  const usage = `${tool} -h|--help [-c|--config]\nconfig: the container configuration to update\n`;
  const parsed = parseOptions(updateConfigTable, words, () => caller.environment["POSIXLY_CORRECT"] !== undefined);
  if (parsed.kind === "problem") return refuse(parsed.text);
  if (words.length === 0 || parsed.options.has("help")) {
    session.write(1, usage);
    return finish(0);
  }
  const named = parsed.options.value("config") ?? "";
  if (named === "") return refuse("no configuration given: -c FILE names it");

  const path = resolve(caller.cwd, named);
  try {
    const file = realpathSync(path);
    const original = readOriginal(file);
    // Bytes that are no UTF-8 must come out as they went in.
    const encoding = isUtf8(original.bytes) ? "utf8" : "latin1";
    const result = moderniseSource({ file: path, text: original.bytes.toString(encoding) }, caller);
    switch (result.kind) {
      case "unclear":
        for (const fault of result.faults) session.write(2, `${tool}: ${showFault(fault)}\n`);
        return refuse(`${named} was left as it is`);
      case "done": {
        const backup = `${path}.backup`;
        if (result.isChanged || !existsSync(backup)) writeLike(backup, original.bytes, original);
        if (result.isChanged) writeLike(file, Buffer.from(result.text, encoding), original);
        return finish(0);
      }
      default: {
        const impossible: never = result;
        return impossible;
      }
    }
  } catch (error) {
    return refuse(`cannot update ${named}: ${fileProblem(error)}`);
  }
});
