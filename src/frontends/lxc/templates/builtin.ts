import type { Caller, CommandSession, Engine, FillOptions } from "../../../engine/engine.js";
import type { IdMapEntry } from "../../../spec/idmap.js";

/** Who runs a template: its words go to `write`, programs are run by `run`. */
export interface TemplateHost extends Pick<CommandSession, "write" | "run"> {
  readonly caller: Caller;
  readonly quiet: boolean;
  /** What is being done now, on the progress line. */
  readonly progress: (text: string) => void;
  /** Nobody waits any more. */
  readonly signal: AbortSignal;
}

/** A call of a template with LXC's arguments: --path=, --name=, --rootfs= and what the user gave it. */
export interface TemplateCall {
  readonly argv: readonly string[];
  readonly host: TemplateHost;
  readonly engine: Engine;
  /** Of the container. */
  readonly idmap: readonly IdMapEntry[];
  /** Where this process finds what --rootfs names: the same, but for a root file system that is mounted for nobody else. null: as --rootfs says. */
  readonly root: string | null;
}

/** Fills a container, or prints its help (-h) and leaves it empty. */
export type BuiltinTemplate = (call: TemplateCall) => Promise<void>;

/** The templates that islet has itself, by name. Nothing of one is loaded before it is called. */
export const builtinTemplates: Readonly<Record<string, () => Promise<BuiltinTemplate>>> = {
  busybox: async () => (await import("./busybox.js")).busyboxTemplate,
  debian: async () => (await import("./debian.js")).debianTemplate,
  oci: async () => (await import("./oci.js")).ociTemplate,
  download: async () => (await import("./download.js")).downloadTemplate,
  fedora: async () => (await import("./fedora.js")).fedoraTemplate,
  local: async () => (await import("./local.js")).localTemplate,
  sshd: async () => (await import("./sshd.js")).sshdTemplate,
  ubuntu: async () => (await import("./ubuntu.js")).ubuntuTemplate,
  "ubuntu-cloud": async () => (await import("./ubuntu-cloud.js")).ubuntuCloudTemplate,
};

/** For Engine.fillRootfs. */
export function fillOptions(host: TemplateHost): FillOptions {
  return {
    caller: host.caller,
    run: host.run,
    progress: host.progress,
    notice: (text) => {
      host.write(2, `${text}\n`);
    },
    signal: host.signal,
  };
}
