/** islet as a library: docs/library/README.md. */
export {
  connect,
  type ConnectOptions,
  type ContainerConfig,
  type CreateOptions,
  type ImportOptions,
  type Islet,
} from "./client/connect.js";
export type {
  ChangingContainer,
  Container,
  ContainerInfo,
  ContainerSettings,
  FrozenContainer,
  RunningContainer,
  StopContainerOptions,
  StoppedContainer,
  WaitOptions,
} from "./client/container.js";
export type { ConsoleOptions, ContainerConsole } from "./client/console.js";
export type {
  Copyable,
  CopyOptions,
  EphemeralOptions,
  ExportOptions,
  IdRange,
  Snapshot,
  Snapshots,
  StoppedSnapshots,
  TakeOptions,
} from "./client/copies.js";
export type { EventOptions, IsletEvent } from "./client/events.js";
export type { ContainerFiles, FileEntry, FileKind, FileStatus, WriteOptions } from "./client/files.js";
export type {
  CommandOptions,
  ExecOptions,
  ExecResult,
  PipedProcess,
  SpawnOptions,
  TerminalOptions,
  TerminalProcess,
  TerminalSize,
} from "./client/process.js";
export type { Bytes, CopyStorage, Storage } from "./client/storage.js";
export type { WorkOptions } from "./client/work.js";
export { type ErrorCode, errorCodes, errorLines, IsletError } from "./base/errors.js";
export type { Addresses, Compression, ResourceUsage, State } from "./engine/engine.js";
