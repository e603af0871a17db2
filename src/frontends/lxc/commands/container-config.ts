import { accessSync, constants } from "node:fs";
import { type Fault, showFault } from "../../../base/source.js";
import type { Call } from "./frame.js";
import type { Definition, LoadedConfig } from "./load.js";
import { type ConfigSource, configurations, readNamedFile } from "./system.js";

export type ContainerConfig =
  | { readonly kind: "loaded"; readonly config: LoadedConfig }
  /** Neither a config file nor --rcfile. */
  | { readonly kind: "absent" }
  /** The user has been told; `at`: what is at fault. */
  | { readonly kind: "failed"; readonly at: "file" | "command line" };

const errnoTexts: Readonly<Record<string, string>> = {
  ENOENT: "No such file or directory",
  EACCES: "Permission denied",
  EISDIR: "Is a directory",
  ENOTDIR: "Not a directory",
  ELOOP: "Too many levels of symbolic links",
};

/** strerror(3) for the few errors a path given by the user leads to. */
export function fileProblem(error: unknown): string {
  const code = error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
  return errnoTexts[code] ?? (error instanceof Error ? error.message : String(error));
}

/** Why a path cannot be read as a configuration. */
function whyUnreadable(file: string): string {
  try {
    accessSync(file, constants.R_OK);
    return "Not a plain file of a sane size";
  } catch (error) {
    return fileProblem(error);
  }
}

/** Reads a file that the user named; null: told why not, in LXC's words. */
export function readUserFile(call: Pick<Call, "report" | "caller" | "resolve">, path: string): ConfigSource | null {
  const source = readNamedFile(path, call.caller);
  if (source === null) call.report.error(`${whyUnreadable(call.resolve(path))} - Failed to open file "${path}"`);
  return source;
}

/** The faults themselves, then LXC's line about the first of them. `path`: the file as the user named it. */
export function reportFaults(
  call: Pick<Call, "report">,
  source: ConfigSource,
  faults: readonly Fault[],
  path: string = source.file,
): void {
  for (const fault of faults) call.report.error(showFault(fault));
  const at =
    faults.find((fault) => fault.at !== null && fault.at.line > 0 && fault.at.file === source.file)?.at ?? null;
  if (at === null) return;
  const line = source.text.split(/\r\n|\r|\n/)[at.line - 1] ?? "";
  call.report.error(`Failed to parse config file "${path}" at line "${line}"`);
}

/**
 * The configuration a command works with: --rcfile (-f) if given, else the container's own file, with what the command line sets.
 * Read once, parsed once.
 */
export async function containerConfig(
  call: Call,
  purpose: { readonly kind: "look" } | { readonly kind: "start"; readonly definitions: readonly Definition[] },
): Promise<ContainerConfig> {
  const rcfile = call.options.value("rcfile");
  const source = rcfile === null ? await call.engine.readConfig(call.id) : readUserFile(call, rcfile);
  const failed = (): ContainerConfig => {
    if (rcfile === null) call.report.bare(`Failed to load config for ${call.id.name}`);
    else if (call.table.tool === "lxc-info") call.report.bare("Failed to load rcfile");
    else call.report.error("Failed to load rcfile");
    return { kind: "failed", at: "file" };
  };
  if (source === null) return rcfile === null ? { kind: "absent" } : failed();
  const own = rcfile === null ? { engine: call.engine, id: call.id } : null;
  const { loadConfig, loadForStart } = await configurations();
  const result =
    purpose.kind === "look"
      ? loadConfig(source, call.caller)
      : await loadForStart(source, call.caller, purpose.definitions, own);
  switch (result.kind) {
    case "loaded":
      return { kind: "loaded", config: result.config };
    case "faulty": {
      reportFaults(call, source, result.faults, rcfile ?? source.file);
      // What the command line sets wrongly is no fault of the file.
      if (result.faults.every((fault) => fault.at?.file === commandLine)) return { kind: "failed", at: "command line" };
      return failed();
    }
    default: {
      const impossible: never = result;
      return impossible;
    }
  }
}

/** The pseudo file that options of the command line come from (Source.file). */
export const commandLine = "command line";

/** `KEY=VAL` of -s, in LXC's grammar; null: no such form. */
export function parseDefinition(text: string): Definition | null {
  const equals = text.indexOf("=");
  const key = equals < 0 ? "" : text.slice(0, equals).trim();
  return key === "" ? null : { key, value: text.slice(equals + 1).trim() };
}
