/** What the main container of both sides does before a case. */
export type Situation = "stopped" | "running" | "frozen";

/**
 * One command line that both sides carry out, each on its own store. The container `islt-web` is there in both, with the same
 * configuration and root file system; `islt-none` never is.
 */
export interface Case {
  /** A line of shell. `-P STORE` is put behind the name of every command that takes it. */
  readonly run: string;
  /** Default: stopped. */
  readonly given?: Situation;
  /** Further containers, made before and removed after: name to configuration. A line `@base` stands for one that can be started, `@own` for one with a root file system of its own in the store. */
  readonly containers?: Readonly<Record<string, string>>;
  /** Written into the working directory before. */
  readonly files?: Readonly<Record<string, string>>;
  /** Files of the working directory whose text is compared afterwards. */
  readonly show?: readonly string[];
  readonly input?: string;
  /** Under a terminal: as soon as the screen matches, the text is typed. Both outputs count as standard output. */
  readonly types?: readonly (readonly [when: RegExp, text: string])[];
  readonly env?: Readonly<Record<string, string>>;
  /** Seconds after which a command counts as one that does not return; default 10. */
  readonly limit?: number;
  /** What differs from run to run and says nothing; it becomes `#`. */
  readonly mask?: RegExp;
  /** Lines that depend on the host. */
  readonly drop?: RegExp;
  /** The known differences that show in this case. */
  readonly differs?: readonly string[];
}

/** A line, or a line and the known differences that show in it. */
export type Line = string | readonly [run: string, ...differs: readonly string[]];

/** The same for several lines. */
export function cases(lines: readonly Line[], rest: Omit<Case, "run"> = {}): readonly Case[] {
  return lines.map((line) => {
    if (typeof line === "string") return { run: line, ...rest };
    const [run, ...differs] = line;
    return { run, ...rest, differs: [...(rest.differs ?? []), ...differs] };
  });
}
