import { monitorId } from "./monitors.js";

const nameMax = 255;

/**
 * The link below the runtime directory that leads to the directory of a container's sockets: unix-export/STORE/NAME, the store's path as
 * systemd-escape(1) writes it (or, where that is too long for a file's name, something made of it).
 */
export function exportLink(runtimeDir: string, storePath: string, name: string): string {
  const escaped = escapePath(storePath);
  return `${runtimeDir}/unix-export/${escaped.length > nameMax ? monitorId(storePath, "") : escaped}/${name}`;
}

/** As `systemd-escape --path` (systemd.unit(5), STRING ESCAPING FOR INCLUSION IN UNIT NAMES). */
export function escapePath(path: string): string {
  const clean = path
    .split("/")
    .filter((part) => part !== "")
    .join("/");
  if (clean === "") return "-";
  return [...Buffer.from(clean)]
    .map((byte, index) => {
      const character = String.fromCharCode(byte);
      if (character === "/") return "-";
      const isPlain = /[A-Za-z0-9:_.]/.test(character) && !(character === "." && index === 0);
      return isPlain ? character : `\\x${byte.toString(16).padStart(2, "0")}`;
    })
    .join("");
}
