/** What the host tells of itself in /proc and /sys. Injected, so that all answers are functions of texts. */
export interface HostFiles {
  /** The text of a file; null where it is missing or cannot be read. */
  readonly read: (path: string) => string | null;
  /** Names in a directory; none where it is missing. */
  readonly list: (path: string) => readonly string[];
}

/** A file that holds one number; null: it is missing, or holds something else. */
export function readNumber(files: HostFiles, path: string): number | null {
  const text = files.read(path)?.trim() ?? "";
  return /^-?\d{1,15}$/.test(text) ? Number(text) : null;
}

/** The numbers N of the entries `prefix`N of a directory, ascending. */
export function numbered(files: HostFiles, directory: string, prefix: string): readonly number[] {
  return files
    .list(directory)
    .filter((name) => name.startsWith(prefix) && /^\d{1,9}$/.test(name.slice(prefix.length)))
    .map((name) => Number(name.slice(prefix.length)))
    .sort((a, b) => a - b);
}
