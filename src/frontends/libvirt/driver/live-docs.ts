import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ContainerStatus } from "../../../engine/engine.js";
import type { DomainDoc } from "../xml/domain.js";
import type { DriverContext } from "./context.js";
import { keptText } from "./document.js";
import { labelNote, withNotedLabel } from "./labels.js";

/**
 * What running domains are like: each was started with its document as an annotation, which its monitor keeps; what was changed since is in a file of the
 * runtime directory. So a new daemon knows all of it.
 */
export interface LiveDocs {
  /** null: it does not run, or was not started as a domain. */
  of(status: ContainerStatus): DomainDoc | null;
  /** As it was started, without what was changed since; null as above. */
  started(status: ContainerStatus): DomainDoc | null;
  /** What a start gives its container. Throws 39 for a document that is too long. */
  annotations(doc: DomainDoc): Annotations;
  /** Who is started with them; null: no domain. */
  docOf(annotations: Annotations): DomainDoc | null;
  /** It has changed while it runs. Throws as above, and has changed nothing then. */
  change(status: ContainerStatus, doc: DomainDoc): void;
  /** It has ended. */
  drop(name: string): void;
}

type Annotations = ContainerStatus["annotations"];

const annotation = "libvirt.domain";

/** Whether whoever has them runs, or is to run, as a domain; asked before the front end is loaded. */
export const isAnnotated = (annotations: Annotations): boolean => annotations[annotation] !== undefined;

interface Known {
  readonly startedAt: number;
  readonly doc: DomainDoc;
}

export function createLiveDocs(context: DriverContext): LiveDocs {
  const { runtimeDir, xml } = context;
  const directory = join(runtimeDir, "libvirt");
  const known = new Map<string, Known>();
  const given = new WeakMap<Annotations, DomainDoc>();
  // A slash is in no name; "." and ".." are none.
  const fileOf = (name: string): string => join(directory, `${name}.xml`);

  const changed = (name: string, startedAt: number): DomainDoc | null => {
    try {
      const text = readFileSync(fileOf(name), "utf8");
      const end = text.indexOf("\n");
      return text.slice(0, end) === String(startedAt) ? xml.read(text.slice(end + 1)) : null;
    } catch {
      return null;
    }
  };

  return {
    of(status) {
      const text = status.annotations[annotation];
      if (text === undefined || status.startedAt === null) return null;
      const before = known.get(status.name);
      if (before?.startedAt === status.startedAt) return before.doc;
      const doc = withNotedLabel(changed(status.name, status.startedAt) ?? xml.read(text), status.annotations);
      known.set(status.name, { startedAt: status.startedAt, doc });
      return doc;
    },
    started(status) {
      const text = status.annotations[annotation];
      return text === undefined ? null : xml.read(text);
    },
    annotations(doc) {
      const annotations = { [annotation]: keptText(context, doc), ...labelNote(doc) };
      given.set(annotations, doc);
      return annotations;
    },
    docOf(annotations) {
      const text = annotations[annotation];
      return text === undefined ? null : (given.get(annotations) ?? withNotedLabel(xml.read(text), annotations));
    },
    change(status, doc) {
      if (status.startedAt === null) return;
      const text = `${status.startedAt}\n${keptText(context, doc)}`;
      known.set(status.name, { startedAt: status.startedAt, doc });
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      // Whole or not at all. No other domain's file ends so.
      const fresh = `${fileOf(status.name)}.new`;
      writeFileSync(fresh, text, { mode: 0o600 });
      renameSync(fresh, fileOf(status.name));
    },
    drop(name) {
      known.delete(name);
      for (const path of [fileOf(name), `${fileOf(name)}.new`]) rmSync(path, { force: true });
    },
  };
}
