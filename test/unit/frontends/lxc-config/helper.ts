import assert from "node:assert/strict";
import { showFault } from "../../../../src/base/source.js";
import type { ContainerSpec } from "../../../../src/spec/spec.js";
import {
  type ConfigFiles,
  type FileKind,
  type ParsedConfig,
  type SpecContext,
  type SpecResult,
  getItem,
  parseConfig,
  toSpec,
} from "../../../../src/frontends/lxc/config/config.js";

/** Files by path; directories are whatever paths have below them. */
export function memoryFiles(files: Readonly<Record<string, string>> = {}): ConfigFiles {
  return {
    read: (path) => files[path] ?? null,
    list: (directory) => {
      const prefix = directory.endsWith("/") ? directory : `${directory}/`;
      const names = Object.keys(files).filter((path) => path.startsWith(prefix));
      return names.length === 0
        ? null
        : names.map((path) => path.slice(prefix.length)).filter((name) => !name.includes("/"));
    },
  };
}

export const configPath = "/var/lib/lxc/web1/config";

export function parse(text: string, files: Readonly<Record<string, string>> = {}): ParsedConfig {
  return parseConfig({ file: configPath, text, files: memoryFiles(files) });
}

/** Without faults, or the test fails with them. */
export function parseFine(text: string, files: Readonly<Record<string, string>> = {}): ParsedConfig {
  const config = parse(text, files);
  assert.deepEqual(config.faults.map(showFault), []);
  return config;
}

/** The faults as they are shown. */
export function faultsOf(text: string, files: Readonly<Record<string, string>> = {}): readonly string[] {
  return parse(text, files).faults.map(showFault);
}

export function get(text: string, key: string): string | null {
  return getItem(parseFine(text), key);
}

export interface World {
  readonly files?: Readonly<Record<string, string>>;
  readonly devices?: Readonly<Record<string, FileKind>>;
  readonly context?: Partial<SpecContext>;
}

export function convert(text: string, world: World = {}): SpecResult {
  return toSpec(parse(text, world.files), {
    name: "web1",
    storePath: "/var/lib/lxc",
    files: memoryFiles(world.files),
    stat: (path) => world.devices?.[path] ?? null,
    ...world.context,
  });
}

export function specOf(text: string, world: World = {}): ContainerSpec {
  const result = convert(text, world);
  if (result.kind === "faults") assert.fail(result.faults.map(showFault).join("\n"));
  return result.spec;
}

export function specFaults(text: string, world: World = {}): readonly string[] {
  const result = convert(text, world);
  return result.kind === "faults" ? result.faults.map(showFault) : [];
}

/** A value without its sources, for comparing what two documents say. */
export function withoutSources(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutSources);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => key !== "at")
      .map(([key, inner]) => [key, withoutSources(inner)]),
  );
}
