import type { ContainerName } from "../base/brand.js";

/** Longest name, bytes: the cgroup directory lxc.payload.NAME-999 and NAME.log must stay within NAME_MAX (255). */
export const maxNameLength = 200;

/** Why `text` cannot name a container; null: it can. */
export function nameProblem(text: string): string | null {
  if (text === "") return "No container name specified";
  if (text.includes("/")) return `the container name "${text}" contains a slash`;
  if (text === "." || text === "..") return `"${text}" cannot be a container name`;
  // oxlint-disable-next-line no-control-regex -- control characters are just what is looked for
  if (/[\u0000-\u001f\u007f]/.test(text)) return "the container name contains control characters";
  if (new TextEncoder().encode(text).length > maxNameLength) {
    return `the container name "${text.slice(0, 32)}..." is longer than ${maxNameLength} bytes`;
  }
  return null;
}

/** The brand for a name that `nameProblem` has nothing against; null otherwise. */
export function asContainerName(text: string): ContainerName | null {
  return nameProblem(text) === null ? (text as ContainerName) : null;
}
