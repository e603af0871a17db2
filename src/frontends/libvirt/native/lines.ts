import { errorCodes, errorDomains, LibvirtError } from "../errors.js";

/** A line `key = value` of an LXC configuration. */
export interface NativeSetting {
  readonly key: string;
  /** Without blanks and one pair of quotes around it. */
  readonly value: string;
  /** Counted from 1. */
  readonly line: number;
}

/** Reads lxc.container.conf(5), keys of all releases and of others; comments stand on lines of their own. Throws 33 with the line. */
export function readNative(text: string): readonly NativeSetting[] {
  return text.split(/\r\n|[\r\n]/).flatMap((raw, index) => {
    const content = raw.trim();
    if (content === "" || content.startsWith("#")) return [];
    const line = index + 1;
    if (!/^[A-Za-z]/.test(content)) throw syntax(line, "expecting a name");
    const equals = content.indexOf("=");
    const key = content.slice(0, Math.max(0, equals)).trim();
    if (!/^[\w.-]+$/.test(key)) throw syntax(line, "expecting an assignment");
    return [{ key, value: unquoted(content.slice(equals + 1).trim()), line }];
  });
}

function unquoted(value: string): string {
  const quote = value.charAt(0);
  const isQuoted = value.length > 1 && (quote === '"' || quote === "'") && value.endsWith(quote);
  return isQuoted ? value.slice(1, -1) : value;
}

function syntax(line: number, what: string): LibvirtError {
  return new LibvirtError(errorCodes.configSyntax, errorDomains.config, `memory conf:${line}: ${what}`);
}

/** The value that holds: the last one of any of these names. null: none, or an empty one, which takes those before it back. */
export function lastOf(settings: readonly NativeSetting[], ...keys: readonly string[]): NativeSetting | null {
  const found = settings.findLast(({ key }) => keys.includes(key)) ?? null;
  return found === null || found.value === "" ? null : found;
}

/** All values of a key that can be given several times; an empty one takes those before it back. */
export function allOf(settings: readonly NativeSetting[], ...keys: readonly string[]): readonly NativeSetting[] {
  const mine = settings.filter(({ key }) => keys.includes(key));
  return mine.slice(mine.findLastIndex(({ value }) => value === "") + 1);
}

export const wordsOf = (value: string): readonly string[] => value.split(/[ \t]+/).filter((word) => word !== "");
