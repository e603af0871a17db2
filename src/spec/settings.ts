import { likelySlips, nearest } from "../base/nearest.js";

/** Settings of a container beside its configuration (LXD's instance options, as far as a guest's API needs them): which there are, and who sees what. */

export type Settings = Readonly<Record<string, string>>;

/** Bytes of one value, and of all of them with their keys. */
export const maxValue: number = 1024 * 1024;
export const maxSettings: number = 4 * maxValue;
const maxKey = 255;

export const sshKeysPrefix = "cloud-init.ssh-keys.";

export const instanceIdKey = "volatile.cloud-init.instance-id";
export const readyKey = "volatile.last_state.ready";
export const switchKey = "security.devlxd";
export const imagesKey = "security.devlxd.images";

const truth = "true or false";

/** Keys that are not the user's own: what they are for, and their value where not every text will do. */
export const settingKeys: readonly { readonly key: string; readonly values?: string; readonly doc: string }[] = [
  {
    key: "user.KEY",
    doc: "Whatever the guest shall know; it reads it at `/1.0/config/user.KEY` and is told of changes.",
  },
  { key: "user.meta-data", doc: "Text that is added to the guest's meta-data (YAML)." },
  { key: "user.user-data", doc: "cloud-init.user-data for cloud-init releases that do not know that one." },
  { key: "user.vendor-data", doc: "cloud-init.vendor-data for such releases." },
  { key: "user.network-config", doc: "cloud-init.network-config for such releases." },
  {
    key: "cloud-init.user-data",
    doc: "What cloud-init does at the guest's first boot: `#cloud-config`, a script, ...",
  },
  { key: "cloud-init.vendor-data", doc: "The same from whoever made the image; user-data goes before it." },
  { key: "cloud-init.network-config", doc: "Network configuration, version 1 or 2 of cloud-init's format." },
  {
    key: `${sshKeysPrefix}NAME`,
    values: "USER:KEY",
    doc: "A public SSH key for a user of the guest; it is added to the user-data or vendor-data where that is a `#cloud-config`.",
  },
  { key: switchKey, values: truth, doc: "`false` takes the API away from the guest, at once (default true)." },
  {
    key: imagesKey,
    values: truth,
    doc: "`true` lets the guest ask for images (default false). There are none yet: it is told so.",
  },
];

/** Kept by islet itself. */
export const volatileKeys: readonly { readonly key: string; readonly doc: string }[] = [
  {
    key: instanceIdKey,
    doc: "Names the guest to cloud-init, which does its work anew when it changes: after a copy, another name, other cloud-init settings, other network interfaces.",
  },
  { key: readyKey, doc: "The guest has said that it is ready." },
];

const cloudInitKeys = ["user-data", "vendor-data", "network-config"];
const renewing: ReadonlySet<string> = new Set(cloudInitKeys.flatMap((name) => [`cloud-init.${name}`, `user.${name}`]));

/** Does a change of it make another instance of the guest, to cloud-init? */
export function renewsInstance(key: string): boolean {
  return renewing.has(key) || key.startsWith(sshKeysPrefix);
}

/** May the guest read it? */
export function isGuestKey(key: string): boolean {
  return key.startsWith("user.") || key.startsWith("cloud-init.");
}

const known: readonly string[] = [
  ...cloudInitKeys.map((name) => `cloud-init.${name}`),
  switchKey,
  imagesKey,
  ...cloudInitKeys.map((name) => `user.${name}`),
  "user.meta-data",
];

function isKnown(key: string): boolean {
  if (known.includes(key)) return true;
  return ["user.", sshKeysPrefix].some((prefix) => key.startsWith(prefix) && key.length > prefix.length);
}

/** What is wrong with a key that somebody wants to set; null: nothing. */
export function keyProblem(key: string): string | null {
  if (key.startsWith("volatile.")) return `${key} is islet's own: it can be read, not set`;
  // Nothing that would end a line, or a path of the guest's API.
  if (!/^[^\s/=\p{Cc}]+$/u.test(key) || key.length > maxKey)
    return `"${key.slice(0, 60)}" is no name of a setting: up to ${maxKey} characters, none of them a space, "/" or "="`;
  if (isKnown(key)) return null;
  const meant = nearest(key, known, likelySlips(key));
  return `there is no setting ${key}; ${meant === null ? "your own begin with user." : `${meant} is one`}`;
}

/** What is wrong with a value; null: nothing. */
export function valueProblem(key: string, value: string): string | null {
  if (new TextEncoder().encode(value).length > maxValue) return `the value of ${key} is longer than ${maxValue} bytes`;
  if (value.includes("\0")) return `the value of ${key} has a NUL in it`;
  if ((key === switchKey || key === imagesKey) && parseTruth(value) === null)
    return `"${value.slice(0, 60)}" is no value of ${key}; true and false are`;
  if (key.startsWith(sshKeysPrefix) && !/^[a-z_][a-z0-9_.-]*:[^\p{Cc}]+$/iu.test(value))
    return `the value of ${key} is not USER:KEY`;
  return null;
}

/** As LXD takes them (shared.IsTrue, IsFalse); null: neither. "" is the default. */
export function parseTruth(value: string): boolean | null {
  const word = value.toLowerCase();
  if (["true", "1", "yes", "on"].includes(word)) return true;
  return ["false", "0", "no", "off", ""].includes(word) ? false : null;
}

/** Only an explicit false takes the API away. */
export function hasApi(settings: Settings): boolean {
  const value = settings[switchKey] ?? "";
  return value === "" || parseTruth(value) !== false;
}

export function hasImages(settings: Settings): boolean {
  return parseTruth(settings[imagesKey] ?? "") === true;
}
