import { escapeUnit } from "../host/systemd.js";
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
  return clean === "" ? "-" : escapeUnit(clean);
}
