/**
 * lxc.container.conf for the commands: everything of this folder that others use.
 *
 *   parseConfig(input: { file, text, files, nibble?, defines?, cwd? }): ParsedConfig { document, values, faults, notices, expanded, rewritten }
 *   getItem(config, key): string | null                        as lxc-info -c prints it; null: cannot be asked for
 *   toSpec(config, context: SpecContext): SpecResult           { kind: "spec", spec, notices } | { kind: "faults", faults, notices }
 *   fromSpec(spec: ContainerSpec): string                      any spec as a configuration
 *   parseDocument(file, text), documentText(document), setKey(document, key, value), appendKey(...), removeKey(document, key)
 *   loadContainer(engine, id, { caller, rcfile?, defines?, host? }): Promise<LoadedContainer { id, defined, config }>      faults in config.faults
 *   loadSpec(engine, id, { ...same, command?, mode? }): Promise<LoadedSpec { ...same, spec, notices }>                      throws ISLET_BAD_CONFIG with faults
 *   lxcSpecLoader: SpecLoader;  runningConfig(status): ParsedConfig | null
 *   moderniseConfig(input): Modernised { text, isChanged } | { faults }                    old keys in today's words
 *   createHeader({ template, parameters, checksum? }): string;  expandHwaddr(template, nibble), defaultHwaddrTemplate
 *   readSystemConfig(files, home?): SystemConfig;  getSystemItem(config, key): string | null;  findDefaultConfig(files, config): { file, text } | null
 *   host: HostAccess { files: hostFiles, stat: hostStat, nibble: randomNibble }
 */
export {
  type ConfigDocument,
  type DocumentLine,
  appendKey,
  documentText,
  parseDocument,
  removeKey,
  setKey,
} from "./document.js";
export { hostFiles, hostStat, randomNibble } from "./files.js";
export { fromSpec } from "./from-spec.js";
export { getItem } from "./get.js";
export { type HeaderInput, createHeader } from "./header.js";
export { type Nibble, defaultHwaddrTemplate, expandHwaddr, isHwaddrTemplate } from "./hwaddr.js";
export {
  type HostAccess,
  type LoadedContainer,
  type LoadedSpec,
  type LoadOptions,
  type SpecOptions,
  host,
  loadContainer,
  loadSpec,
  lxcSpecLoader,
  runningConfig,
} from "./load.js";
export { type Modernised, moderniseConfig } from "./modernise.js";
export type { ConfigFiles, FileKind, Notice, ParsedConfig, Values } from "./model.js";
export { type ParseInput, parseConfig } from "./parse.js";
export {
  type DefaultConfig,
  type SystemConfig,
  findDefaultConfig,
  getSystemItem,
  readSystemConfig,
  systemConfigPath,
  systemKeys,
} from "./system.js";
export { type SpecContext, type SpecResult, toSpec } from "./to-spec.js";
