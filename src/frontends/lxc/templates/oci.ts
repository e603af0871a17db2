import { existsSync } from "node:fs";
import { appendFile } from "node:fs/promises";
import { resolve } from "node:path";
import { IsletError } from "../../../base/errors.js";
import { printable } from "../../../base/printable.js";
import type { OptionRow } from "../commands/getopt.js";
import { option } from "../commands/options.js";
import { callOptions } from "./caller-options.js";
import { type BuiltinTemplate, fillOptions } from "./builtin.js";
import { commandScript, commandText, hostsText, idsOf, ociConfig, type OciIds, scriptText } from "./oci-config.js";

/** The options of lxc-oci, and two of ours. */
const options: readonly OptionRow[] = [
  option("url", "", { short: "u", argument: "URL" }),
  option("username", "", { argument: "NAME" }),
  option("password", "", { argument: "PASSWORD" }),
  option("creds", "", { argument: "FILE" }),
  option("arch", "", { short: "a", argument: "ARCH" }),
  option("no-cache", ""),
  option("dhcp", ""),
];

const usage = `LXC container template for OCI images

Special arguments:
[ -h | --help ]: Print this help message and exit.

Required arguments:
[ -u | --url <url> ]: The OCI image URL: docker://HOST/NAME:TAG or oci:/PATH:TAG

Optional arguments:
[ --username <username> ]: The username for the registry
[ --password <password> ]: The password for the registry
[ --creds <file> ]: A file with both, as docker login writes it
[ -a | --arch <arch> ]: Architecture of the container (default: the host's)
[ --no-cache ]: Get the image anew
[ --dhcp ]: Let the host's hook ask for an address

LXC internal arguments (do not pass manually!):
[ --name <name> ]: The container name
[ --path <path> ]: The path to the container
[ --rootfs <rootfs> ]: The path to the container's rootfs
[ --mapped-uid <map> ]: A uid map (user namespaces)
[ --mapped-gid <map> ]: A gid map (user namespaces)
`;

const shared = "/usr/share/lxc/config";

const complaint = (text: string): IsletError => new IsletError("ISLET_BAD_REQUEST", text);

/** Does what lxc-oci does with these arguments, without skopeo, umoci and jq. */
export const ociTemplate: BuiltinTemplate = async ({ argv, host, engine, idmap, root }) => {
  const asked = callOptions("oci", options, usage, { argv, host }, 1);
  if (asked === null) return;
  const name = asked.value("name") ?? "";
  const path = asked.value("path") ?? "";
  const documented = asked.value("rootfs") ?? "";
  if (name === "" || path === "" || documented === "") throw complaint("Not running through LXC");
  const url = asked.value("url") ?? "";
  if (url === "")
    throw new IsletError("ISLET_BAD_REQUEST", "no OCI URL given", { hint: "-- -u docker://HOST/NAME:TAG" });
  const user = asked.value("username");
  const password = asked.value("password");
  if (password !== null && user === null) throw complaint("password given but no username specified");
  const file = asked.value("creds");
  const credentials =
    user === null
      ? file === null
        ? null
        : `docker-config:${resolve(host.caller.cwd, file)}`
      : `${user}:${password ?? ""}`;
  const architecture = asked.value("arch") ?? (process.arch === "x64" ? "amd64" : process.arch);
  const filling = fillOptions(host);
  // Tags move: what is cached goes by what the tag means now.
  const image = await engine.pinImage({ kind: "oci", url, architecture, credentials }, filling);

  let ids: OciIds = { uid: 0, gid: 0 };
  const facts = await engine.fillRootfs(
    {
      kind: "image",
      image,
      rootfs: root ?? documented,
      idmap,
      refresh: asked.has("no-cache"),
      finish: (editor, { run }) => {
        ids = idsOf(run?.user ?? null, editor);
        editor.write("/etc/hostname", `${name}\n`);
        editor.write("/etc/hosts", hostsText(name));
        const command = run?.command ?? [];
        if (command.length > 0 && commandText(command) === null)
          editor.write(commandScript, scriptText(command), { mode: 0o755 });
      },
    },
    filling,
  );
  const run = facts?.run ?? { command: [], environment: [], directory: null, user: null };
  const includes = [
    `${shared}/common.conf`,
    ...(idmap.length > 0 ? [`${shared}/userns.conf`] : []),
    `${shared}/oci.common.conf`,
  ].filter((each) => existsSync(each));
  const { text, skipped } = ociConfig({ run, ids, name, includes, dhcp: asked.has("dhcp") });
  for (const variable of skipped)
    host.write(
      2,
      `lxc-oci: the variable ${printable(variable)} of the image cannot be said in a configuration: it is left out\n`,
    );
  await appendFile(`${path}/config`, text);
};
