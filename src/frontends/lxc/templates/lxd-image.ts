import { existsSync } from "node:fs";
import { appendFile, readFile } from "node:fs/promises";
import { isObject } from "../../../base/records.js";
import { IsletError } from "../../../base/errors.js";
import type { ImageFacts, RootEditor } from "../../../spec/image.js";
import { commonLines } from "./distro-config.js";
import type { ImageContainer } from "./lxc-image.js";

/** Images of LXD's, and roots without a word about them, as containers of LXC's. */

interface LxdTemplate {
  readonly path: string;
  readonly when: readonly string[];
  readonly isForNewFiles: boolean;
  readonly template: string;
}

/** `templates` of metadata.yaml. */
export async function lxdTemplates(metadata: string): Promise<readonly LxdTemplate[]> {
  const { parse } = await import("yaml");
  const value: unknown = parse(metadata, { maxAliasCount: 100, logLevel: "silent" });
  const templates = isObject(value) && isObject(value["templates"]) ? value["templates"] : {};
  return Object.entries(templates).flatMap(([path, each]) => {
    if (!isObject(each) || typeof each["template"] !== "string") return [];
    const when = Array.isArray(each["when"]) ? each["when"].filter((word) => typeof word === "string") : [];
    return [{ path, when, isForNewFiles: each["create_only"] === true, template: each["template"] }];
  });
}

const words: Readonly<Record<string, (container: ImageContainer) => string>> = {
  "container.name": ({ name }) => name,
  "instance.name": ({ name }) => name,
  trigger: () => "create",
};

/** The text with what it says in place of its variables; null: it says more than that. */
export function fillLxdTemplate(text: string, path: string, container: ImageContainer): string | null {
  const filled = text.replace(/\{\{\s*([^{}]*?)\s*\}\}/g, (whole, expression: string) => {
    if (expression === "path") return path;
    if (Object.hasOwn(words, expression)) return words[expression]?.(container) ?? whole;
    // A setting that nobody has made yet: its default.
    return /^config_get\(\s*"[^"]*"\s*,\s*"([^"]*)"\s*\)$/.exec(expression)?.[1] ?? whole;
  });
  return /\{\{|\{%|\{#/.test(filled) ? null : filled;
}

/**
 * Writes what LXD writes when a container is created. Gives back what it cannot: templates that decide or loop, and that their files are made anew at
 * every start, which LXC has nobody to do.
 */
export async function applyLxdTemplates(
  root: RootEditor,
  files: ImageFacts["files"],
  container: ImageContainer,
): Promise<readonly string[]> {
  const notDone: string[] = [];
  for (const { path, when, isForNewFiles, template } of await lxdTemplates(files["metadata.yaml"] ?? "")) {
    if (!when.includes("create") && !when.includes("start")) continue;
    if (isForNewFiles && root.exists(path)) continue;
    const text = files[`templates/${template}`];
    const filled = text === undefined ? null : fillLxdTemplate(text, path, container);
    if (filled === null)
      notDone.push(
        `the template ${template} for ${path} was not applied: ${text === undefined ? "it is missing" : "it is more than text and names"}`,
      );
    else root.write(path, filled);
  }
  return notDone;
}

const sharedConfig = "/usr/share/lxc/config/common.conf";

/** Appends what a container needs that comes without a configuration of LXC's. */
export async function appendGeneralConfig(
  { distribution, release, architecture }: Pick<ImageFacts, "distribution" | "release" | "architecture">,
  container: ImageContainer,
): Promise<void> {
  const config = `${container.path}/config`;
  const name = /^[a-z0-9][a-z0-9.-]*$/.test(distribution ?? "") ? (distribution ?? "") : "";
  const isKnown = name !== "" && existsSync(sharedConfig.replace("common.conf", `${name}.common.conf`));
  const common =
    isKnown || !existsSync(sharedConfig)
      ? commonLines(name, /^[a-z0-9.]+$/.test(release ?? "") ? (release ?? "") : "", container.idmap)
      : [
          `lxc.include = ${sharedConfig}`,
          ...(container.idmap.length > 0 ? [`lxc.include = ${sharedConfig.replace("common", "userns")}`] : []),
        ];
  const given = await readFile(config, "utf8");
  if (architecture !== null && !/^[a-z0-9_]+$/.test(architecture))
    throw new IsletError("ISLET_BAD_REQUEST", "the image's architecture is no name");
  const lines = [
    "",
    "# Common configuration",
    ...common,
    "",
    "# Container specific configuration",
    ...(/^lxc\.rootfs\.path/m.test(given) ? [] : [`lxc.rootfs.path = ${container.rootfs}`]),
    `lxc.uts.name = ${container.name}`,
    ...(architecture === null ? [] : [`lxc.arch = ${architecture}`]),
  ];
  await appendFile(config, `${lines.join("\n")}\n`);
}
