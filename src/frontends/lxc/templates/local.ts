import { isAbsolute, resolve } from "node:path";
import { IsletError } from "../../../base/errors.js";
import type { OptionRow } from "../commands/getopt.js";
import { option } from "../commands/options.js";
import { callOptions } from "./caller-options.js";
import { type BuiltinTemplate, fillOptions } from "./builtin.js";
import { createMessage, finishImageRoot, type ImageContainer, relevantFile, writeImageConfig } from "./lxc-image.js";
import { appendGeneralConfig, applyLxdTemplates } from "./lxd-image.js";

/** The options of Debian's lxc-local script. */
const options: readonly OptionRow[] = [
  option("metadata", "", { short: "m", argument: "FILE" }),
  option("fstree", "", { short: "f", argument: "FILE" }),
];

const usage = `Containers of image files that are on this host

Special arguments:
[ -h | --help ]: Print this help message and exit.
[ -m | --metadata ]: Path to the metadata for the image.
[ -f | --fstree ]: Path to the filesystem tree for the image.

The metadata are a tarball of LXC's (config, templates, ...) or of LXD's (metadata.yaml, templates/); the tree is a tarball, plain or
compressed with gzip, xz, zstd or bzip2, or a squashfs. A tarball of LXD's that has both, with the tree in rootfs/, is given to either alone; so
is, to -f, a tree that nothing is known of.

LXC internal arguments (do not pass manually!):
[ --name <name> ]: The container name
[ --path <path> ]: The path to the container
[ --rootfs <rootfs> ]: The path to the container's rootfs
[ --mapped-uid <map> ]: A uid map (user namespaces)
[ --mapped-gid <map> ]: A gid map (user namespaces)
`;

/** Does what lxc-local does with these arguments, and knows LXD's images, too. */
export const localTemplate: BuiltinTemplate = async ({ argv, host, engine, idmap, root }) => {
  const asked = callOptions("local", options, usage, { argv, host }, 1);
  if (asked === null) return;
  const name = asked.value("name") ?? "";
  const path = asked.value("path") ?? "";
  const documented = asked.value("rootfs") ?? `${path}/rootfs`;
  if (name === "" || path === "")
    throw new IsletError("ISLET_BAD_REQUEST", "Please pass the name, path, and rootfs for the container");
  const fileOf = (long: string): string | null => {
    const given = asked.value(long);
    return given === null || isAbsolute(given) ? given : resolve(host.caller.cwd, given);
  };
  const image = { kind: "local", metadata: fileOf("metadata"), rootfs: fileOf("fstree") } as const;
  if (image.metadata === null && image.rootfs === null)
    throw new IsletError("ISLET_BAD_REQUEST", "which image? there is neither --metadata nor --fstree", {
      hint: "lxc-create -n NAME -t local -- --metadata meta.tar.xz --fstree rootfs.tar.xz",
    });

  host.write(1, "Unpacking the rootfs\n");
  const container: ImageContainer = { name, path, rootfs: documented, idmap, compatLevel: "5" };
  const facts = await engine.fillRootfs(
    {
      kind: "image",
      image,
      rootfs: root ?? documented,
      idmap,
      refresh: false,
      finish: async (editor, { files }) => {
        finishImageRoot(editor, files, container);
        if (files["metadata.yaml"] === undefined) return;
        for (const line of await applyLxdTemplates(editor, files, container)) host.write(2, `lxc-local: ${line}\n`);
      },
    },
    fillOptions(host),
  );
  const files = facts?.files ?? {};
  // Metadata that are not LXD's must have LXC's configuration.
  const isLxcs = files["metadata.yaml"] === undefined && Object.keys(files).length > 0;
  if (facts === null || isLxcs || relevantFile(files, "config", container) !== null)
    await writeImageConfig(files, container);
  else await appendGeneralConfig(facts, container);
  host.write(1, createMessage(files, container));
};
