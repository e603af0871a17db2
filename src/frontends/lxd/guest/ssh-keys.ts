import { type Settings, sshKeysPrefix } from "../../../spec/settings.js";

/** Public keys for SSH that are settings of their own, as part of a guest's cloud-config. */

const carriers: ReadonlySet<string> = new Set(
  ["cloud-init", "user"].flatMap((prefix) => [`${prefix}.user-data`, `${prefix}.vendor-data`]),
);

/** Can a setting carry such keys? */
export const isMergeable = (key: string): boolean => carriers.has(key);

/**
 * The text with the keys for its users. Text that is no `#cloud-config`, or has a list of users itself, stays as it is: to take YAML apart in order
 * to put it together again would change what its author wrote.
 */
export function withSshKeys(text: string, settings: Settings): string {
  const keys = Object.entries(settings).filter(([key]) => key.startsWith(sshKeysPrefix));
  if (keys.length === 0 || !/^#cloud-config[ \t]*(\r?\n|$)/.test(text) || /^["']?users["']?[ \t]*:/m.test(text))
    return text;
  const byUser = new Map<string, string[]>();
  for (const [, value] of keys) {
    const at = value.indexOf(":");
    const user = value.slice(0, at);
    byUser.set(user, [...(byUser.get(user) ?? []), value.slice(at + 1)]);
  }
  const lines = ["users:", "- default"];
  for (const [user, all] of byUser) {
    lines.push(`- name: ${JSON.stringify(user)}`);
    const imported = all.filter((key) => /^(gh|lp):/.test(key));
    const given = all.filter((key) => !imported.includes(key));
    for (const [name, list] of [
      ["ssh_authorized_keys", given],
      ["ssh_import_id", imported],
    ] as const) {
      if (list.length > 0) lines.push(`  ${name}:`, ...list.map((key) => `  - ${JSON.stringify(key)}`));
    }
  }
  return `${text.endsWith("\n") ? text : `${text}\n`}${lines.join("\n")}\n`;
}
