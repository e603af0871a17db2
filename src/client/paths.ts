import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

/** dist/src/client/paths.js is four levels below the package. */
const packageDirectory = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));

/** The static binary: client, monitor, runner. */
export const binary: string = `${packageDirectory}/build/islet`;

/** RUNTIME of docs/protocol/control.md. */
export const defaultRuntimeDirectory = (): string => process.env["ISLET_RUNTIME_DIR"] ?? "/run/islet";
