import { constants } from "node:fs";
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { IsletError } from "../base/errors.js";
import { keysOf } from "./openpgp.js";

/** Which keys may have signed what a server gives. */

/** The signing keys of the servers that everybody uses, by their fingerprints: a key file in the directories below counts only if it has them. */
const pinned: readonly { readonly host: RegExp; readonly whose: string; readonly fingerprint: string }[] = [
  {
    host: /^(images|[a-z]+\.lxd\.images|[a-z]+\.images)\.linuxcontainers\.org$/,
    whose: "linuxcontainers.org's image signing key",
    fingerprint: "E7FB0CAEC8173D669066514CBAEFF88C22F6E216",
  },
  {
    host: /^cloud-images\.ubuntu\.com$/,
    whose: "Ubuntu's cloud image signing key",
    fingerprint: "D2EB44626FDDC30B513D5BB71A5D6C4C7DB87C81",
  },
];

/** Shipped, the administrator's, the distribution's. */
const directories = [
  fileURLToPath(new URL("../../../share/keys", import.meta.url)),
  "/etc/islet/keys",
  "/usr/share/keyrings",
] as const;
const mostKeyBytes = 8 << 20;

export interface Trust {
  /** What goes into a keyring for the verifier. */
  readonly keyring: Uint8Array;
  /** In words: where the keys come from. */
  readonly from: string;
}

/**
 * The keys for a server: those of the files that the user names, all of them; else the one with the fingerprint that the user names or that is
 * known of the server, wherever on this host it is. `host`: of the server. ISLET_UNSUPPORTED: there is no such key.
 */
export async function trustFor(
  host: string,
  keyrings: readonly string[],
  keyId: string | null,
  places: readonly string[] = directories,
): Promise<Trust> {
  if (keyrings.length > 0) {
    const files = await Promise.all(keyrings.map(readNamed));
    return { keyring: Buffer.concat(files), from: keyrings.join(", ") };
  }
  const known = pinned.find((each) => each.host.test(host));
  const wanted = keyId === null ? known?.fingerprint : keyId.replace(/^0x/i, "").toUpperCase();
  if (wanted === undefined)
    throw new IsletError("ISLET_UNSUPPORTED", `no key is known with which images of ${host} are signed`, {
      hint: "--keyring FILE names a file with it; --no-validate does without signatures",
    });
  // Two different keys can share a short id; a fingerprint cannot be made to order.
  if (!/^([0-9A-F]{40}|[0-9A-F]{64})$/.test(wanted))
    throw new IsletError("ISLET_BAD_REQUEST", `--keyid ${wanted} is not a whole fingerprint of 40 hexadecimal digits`);
  for (const directory of places) {
    const names: readonly string[] = await readdir(directory).catch(() => []);
    for (const name of names.toSorted()) {
      const bytes = /\.(gpg|asc|pgp|pub|key)$/.test(name) ? await readKeys(join(directory, name)) : null;
      const key = bytes === null ? undefined : keysOf(bytes).find(({ fingerprint }) => fingerprint === wanted);
      if (key !== undefined) return { keyring: key.bytes, from: join(directory, name) };
    }
  }
  const whose = known?.fingerprint === wanted ? known.whose : "the signing key";
  throw new IsletError(
    "ISLET_UNSUPPORTED",
    `${whose} ${wanted} is not on this host, so nothing of ${host} can be checked`,
    {
      hint: `put it into /etc/islet/keys (gpg --recv-keys ${wanted} && gpg --export ${wanted} >/etc/islet/keys/images.gpg); --no-validate does without signatures`,
    },
  );
}

async function readNamed(path: string): Promise<Uint8Array> {
  const bytes = await readKeys(path);
  if (bytes === null) throw new IsletError("ISLET_UNSUPPORTED", `there is no key file ${path}`);
  const keys = keysOf(bytes);
  if (keys.length === 0)
    throw new IsletError("ISLET_UNSUPPORTED", `${path} has no OpenPGP keys in it`, {
      hint: "gpg --export KEY >FILE makes such a file",
    });
  return Buffer.concat(keys.map((key) => key.bytes));
}

async function readKeys(path: string): Promise<Uint8Array | null> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch(() => null);
  if (handle === null) return null;
  try {
    const found = await handle.stat();
    return found.isFile() && found.size <= mostKeyBytes ? await handle.readFile() : null;
  } finally {
    await handle.close();
  }
}
