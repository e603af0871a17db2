import { accessSync, constants, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { IsletError } from "../../../base/errors.js";
import { likelySlips, nearest } from "../../../base/nearest.js";
import type { Caller } from "../../../engine/engine.js";
import { builtinTemplates } from "../templates/builtin.js";

/** Where LXC's packages put templates. */
const systemTemplates = "/usr/share/lxc/templates";

export type Template =
  | { readonly kind: "none" }
  /** `path`: what the header of the config says, the file that would have been run. */
  | { readonly kind: "builtin"; readonly name: string; readonly path: string }
  | { readonly kind: "script"; readonly path: string };

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** What `-t` takes, sorted. */
export function templateNames(caller: Caller): readonly string[] {
  const own = caller.environment["LXC_TEMPLATE_PATH"];
  const found = [systemTemplates, ...(own?.startsWith("/") === true ? [own] : [])].flatMap((directory) =>
    filesIn(directory).flatMap((file) =>
      /^lxc-[\w.+-]+$/.test(file) && isProgram(join(directory, file)) ? [file.slice(4)] : [],
    ),
  );
  return [...new Set([...Object.keys(builtinTemplates), "none", ...found])].sort();
}

function filesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** The first program of that name in the directories of a PATH value. */
export function findProgram(name: string, searchPath: string): string | null {
  const directories = searchPath.split(":").filter((directory) => directory.startsWith("/"));
  return directories.map((directory) => join(directory, name)).find(isProgram) ?? null;
}

/**
 * What `-t NAME` stands for: "none"; a path; DIR/lxc-NAME in the caller's LXC_TEMPLATE_PATH; a built-in template; LXC's
 * own directory.
 */
export function findTemplate(name: string, caller: Caller): Template {
  if (name === "none") return { kind: "none" };
  if (name.startsWith("/")) {
    if (isProgram(name)) return { kind: "script", path: name };
    throw new IsletError("ISLET_BAD_REQUEST", `Bad template pathname: ${name}`, { hint: "it is no executable file" });
  }
  const file = `lxc-${name}`;
  const own = caller.environment["LXC_TEMPLATE_PATH"];
  if (own !== undefined && own.startsWith("/") && isProgram(join(own, file)))
    return { kind: "script", path: join(own, file) };
  const path = join(systemTemplates, file);
  if (Object.hasOwn(builtinTemplates, name)) return { kind: "builtin", name, path };
  if (!name.includes("/") && isProgram(path)) return { kind: "script", path };
  const known = templateNames(caller);
  const near = nearest(name, known, likelySlips(name));
  throw new IsletError("ISLET_BAD_REQUEST", `bad template: ${name}`, {
    hint:
      near === null
        ? `there is no ${path}; there are ${known.join(", ")}; more come with the package lxc-templates`
        : `did you mean ${near}? there is no ${path}`,
  });
}

/** The arguments LXC calls a template with. */
export function templateArguments(
  paths: { readonly directory: string; readonly rootfs: string },
  name: string,
  parameters: readonly string[],
): readonly string[] {
  return [`--path=${paths.directory}`, `--name=${name}`, `--rootfs=${paths.rootfs}`, ...parameters];
}
