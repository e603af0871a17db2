// Where the headers for the addon are: node_api.h and uv.h.
import { existsSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { root } from "./common.mjs";

/**
 * Directories for the compiler's -I, or null if a header is missing. Node's own distribution has both in one place; Debian's
 * nodejs package has neither, so node_api.h comes from the node-api-headers package and uv.h from libuv1-dev. (Node-API and
 * libuv 1.x both keep their binary interface, so headers of another release of them are fine.)
 */
export function nodeIncludes() {
  const own = join(dirname(realpathSync(process.execPath)), "../include/node");
  const find = (header, dirs) => dirs.find((dir) => existsSync(join(dir, header))) ?? null;
  const api = find("node_api.h", [own, join(root, "node_modules/node-api-headers/include"), "/usr/include/node"]);
  const uv = find("uv.h", [own, "/usr/include/node", "/usr/include"]);
  if (api === null || uv === null) return null;
  // The compiler looks in /usr/include by itself, and last, as it must.
  return [...new Set([api, uv])].filter((dir) => dir !== "/usr/include");
}
