import { IsletError } from "../../../base/errors.js";
import { printable } from "../../../base/printable.js";
import type { ImageServer, RemoteImage } from "../../../spec/image.js";
import type { OptionRow } from "../commands/getopt.js";
import { option } from "../commands/options.js";
import { callOptions } from "./caller-options.js";
import { type BuiltinTemplate, fillOptions, type TemplateCall } from "./builtin.js";
import { createMessage, finishImageRoot, type ImageContainer, relevantFile, writeImageConfig } from "./lxc-image.js";
import { appendGeneralConfig, applyLxdTemplates } from "./lxd-image.js";

/** The options of lxc-download, those of older versions among them, and --keyring. */
const options: readonly OptionRow[] = [
  option("dist", "", { short: "d", argument: "DISTRIBUTION" }),
  option("release", "", { short: "r", argument: "RELEASE" }),
  option("arch", "", { short: "a", argument: "ARCH" }),
  option("list", "", { short: "l" }),
  option("variant", "", { argument: "VARIANT" }),
  option("server", "", { argument: "SERVER" }),
  option("keyid", "", { argument: "FINGERPRINT" }),
  option("keyserver", "", { argument: "SERVER" }),
  option("keyring", "", { argument: "FILE" }),
  option("no-validate", ""),
  option("flush-cache", ""),
  option("force-cache", ""),
  option("no-xattrs", ""),
];

const defaultServer = "images.linuxcontainers.org";

const usage = `LXC container image downloader

Special arguments:
[ -h | --help ]: Print this help message and exit
[ -l | --list ]: List all available images and exit

Required arguments:
[ -d | --dist <distribution> ]: The name of the distribution
[ -r | --release <release> ]: Release name/version
[ -a | --arch <architecture> ]: Architecture of the container

Optional arguments:
[ --variant <variant> ]: Variant of the image (default: "default")
[ --server <server> ]: Image server (default: "${defaultServer}")
[ --keyring <file> ]: OpenPGP keys, one of which must have signed the image (default: the known key of the server)
[ --keyid <fingerprint> ]: The key that must have signed it, if it is on this host
[ --no-validate ]: Take an image that is not signed
[ --flush-cache ]: Flush the local copy (if present)
[ --force-cache ]: Force the use of the local copy even if expired

LXC internal arguments (do not pass manually!):
[ --name <name> ]: The container name
[ --path <path> ]: The path to the container
[ --rootfs <rootfs> ]: The path to the container's rootfs
[ --mapped-uid <map> ]: A uid map (user namespaces)
[ --mapped-gid <map> ]: A gid map (user namespaces)

`;

interface Choice {
  readonly distribution: string | null;
  readonly release: string | null;
  readonly architecture: string | null;
  readonly variant: string;
}

/** The table that lxc-download prints. */
export function listText(
  images: readonly RemoteImage[],
  { distribution, release, architecture, variant }: Choice,
): string {
  const wanted = images.filter(
    (image) =>
      (distribution ?? image.distribution) === image.distribution &&
      (release ?? image.release) === image.release &&
      (architecture ?? image.architecture) === image.architecture &&
      variant === image.variant,
  );
  const lines = wanted.map((image) =>
    [image.distribution, image.release, image.architecture, image.variant, image.build].map(printable).join("\t"),
  );
  return ["", "---", "DIST\tRELEASE\tARCH\tVARIANT\tBUILD", "---", ...lines, "---", ""].join("\n");
}

/** Asks on the caller's terminal, where there is one; null: there is none. */
async function ask({ engine, host }: TemplateCall, what: string): Promise<string | null> {
  // Without a line end: what is being done would be shown where the answer is typed.
  host.write(1, `${what}: `);
  const script = '[ -t 0 ] || exit 3; IFS= read -r answer || exit 4; printf %s "$answer"';
  const made = await engine.hostOutput(["/bin/sh", "-c", script], host.caller, null);
  const finished = host.run(made.task);
  finished.catch(() => undefined);
  made.handedOver();
  const chunks: Uint8Array[] = [];
  for await (const chunk of made.output) chunks.push(chunk);
  const status = await finished;
  host.write(1, "\n");
  return status === 0 ? Buffer.concat(chunks).toString("utf8").trim() : null;
}

/** What is missing of -d, -r and -a is asked for, after the list of what there is. */
async function chosen(call: TemplateCall, server: ImageServer, choice: Choice): Promise<Choice> {
  if (choice.distribution !== null && choice.release !== null && choice.architecture !== null) return choice;
  const { host, engine } = call;
  const images = await engine.remoteImages(server, fillOptions(host));
  host.write(1, `${listText(images, choice)}\n`);
  const need = async (
    value: string | null,
    what: string,
    letter: string,
    names: readonly string[],
  ): Promise<string> => {
    const answer = value ?? (await ask(call, what));
    if (answer !== null && answer !== "") return answer;
    throw new IsletError(
      "ISLET_BAD_REQUEST",
      `which ${what.toLowerCase()}? there is no -${letter}, and nobody to ask`,
      {
        hint: `there are ${[...new Set(names)].toSorted().join(", ")}`,
      },
    );
  };
  const distribution = await need(
    choice.distribution,
    "Distribution",
    "d",
    images.map((image) => image.distribution),
  );
  const ofIt = images.filter((image) => image.distribution === distribution);
  const release = await need(
    choice.release,
    "Release",
    "r",
    ofIt.map((image) => image.release),
  );
  const builds = ofIt.filter((image) => image.release === release);
  const architecture = await need(
    choice.architecture,
    "Architecture",
    "a",
    builds.map((image) => image.architecture),
  );
  return { ...choice, distribution, release, architecture };
}

/** Of the cached copy, as the image says it: past its day it is made anew. */
async function isExpired({ engine }: TemplateCall, { distribution, release, variant }: Choice): Promise<boolean> {
  const images = await engine.images();
  const seconds = Date.now() / 1000;
  return images.some(
    (image) =>
      image.files["origin"] !== undefined &&
      image.distribution === distribution &&
      image.release === release &&
      image.variant === variant &&
      Number(image.files["expiry"] ?? Number.POSITIVE_INFINITY) < seconds,
  );
}

/** Does what lxc-download does with these arguments. */
export const downloadTemplate: BuiltinTemplate = async (call) => {
  const { argv, host, engine, idmap, root } = call;
  const asked = callOptions("download", options, usage, { argv, host }, 1);
  if (asked === null) return;
  const keyId = asked.value("keyid");
  const server: ImageServer = {
    server: asked.value("server") ?? defaultServer,
    streams: "meta/1.0",
    keyrings: asked.values("keyring").map((file) => (file.startsWith("/") ? file : `${host.caller.cwd}/${file}`)),
    ...(keyId === null ? {} : { keyId }),
    validate: !asked.has("no-validate"),
  };
  if (asked.has("keyserver"))
    host.write(2, "lxc-download: --keyserver has no effect: keys are never fetched; --keyring FILE names them\n");
  const given: Choice = {
    distribution: asked.value("dist"),
    release: asked.value("release"),
    architecture: asked.value("arch"),
    variant: asked.value("variant") ?? "default",
  };
  if (asked.has("list")) {
    host.write(1, "Downloading the image index\n");
    host.write(1, listText(await engine.remoteImages(server, fillOptions(host)), given));
    // As the script does, so that lxc-create takes the container away again.
    throw new IsletError("ISLET_HOOK_FAILED", "the template download only listed what there is");
  }
  const name = asked.value("name") ?? "";
  const path = asked.value("path") ?? "";
  const documented = asked.value("rootfs") ?? "";
  if (name === "" || path === "" || documented === "")
    throw new IsletError("ISLET_BAD_REQUEST", "Please pass the name, path, and rootfs for the container");
  const choice = await chosen(call, server, given);
  const { distribution, release, architecture, variant } = choice;
  const expired = !asked.has("force-cache") && (await isExpired(call, choice));
  if (expired) host.write(1, "The cached copy has expired, re-downloading...\n");
  if (asked.has("flush-cache")) host.write(1, "Flushing the cache...\n");
  const container: ImageContainer = { name, path, rootfs: documented, idmap };
  const image = await engine.fillRootfs(
    {
      kind: "image",
      image: {
        kind: "simplestreams",
        ...server,
        distribution: distribution ?? "",
        release: release ?? "",
        architecture: architecture ?? "",
        variant,
      },
      rootfs: root ?? documented,
      idmap,
      refresh: expired || asked.has("flush-cache"),
      finish: async (editor, { files }) => {
        finishImageRoot(editor, files, container);
        if (files["metadata.yaml"] === undefined) return;
        for (const line of await applyLxdTemplates(editor, files, container)) host.write(2, `lxc-download: ${line}\n`);
      },
    },
    fillOptions(host),
  );
  const files = image?.files ?? {};
  // LXD's images, and roots that come alone.
  const isGeneral = relevantFile(files, "config", container) === null;
  if (image !== null && isGeneral) await appendGeneralConfig(image, container);
  else await writeImageConfig(files, container);
  host.write(1, createMessage(files, container));
};
