import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Cleaner } from "./cleanup.js";
import { cleanup } from "./cleanup.js";
import type { Fresh } from "./fresh.js";
import { instance } from "./instance.js";

/** Images that tests with real distributions make, kept from run to run: to make one takes the better part of a minute. */
export const keptImages = "/var/cache/islet-test/images";

/** Days after which one is made anew, with what the distribution has mended meanwhile. */
const shelfLife = 30;

/** Makes the image that `lxc-create` with these words uses, if it is not there yet. */
export async function makeKeptImage(
  t: Cleaner,
  words: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<void> {
  mkdirSync(keptImages, { recursive: true });
  for (const name of readdirSync(keptImages)) {
    const facts = join(keptImages, name, "image.json");
    if (existsSync(facts) && statSync(facts).mtimeMs < Date.now() - shelfLife * 86_400_000)
      rmSync(join(keptImages, name), { recursive: true });
  }
  const own = await instance(t, { env: { ISLET_IMAGE_CACHE: keptImages } });
  await own.ok(["lxc-create", ...own.store.at("image"), ...words], { env, timeout: 400_000 });
  await own.ok(["lxc-destroy", ...own.store.at("image")]);
}

/** The fresh machine's image cache is the kept one. */
export async function useKeptImages(t: Cleaner, machine: Fresh): Promise<void> {
  const place = "/var/cache/lxc/islet";
  const isNew = !existsSync(place);
  mkdirSync(place, { recursive: true });
  await machine.ok(["mount", "--bind", keptImages, place]);
  cleanup(t)(() => {
    if (isNew && readdirSync(place).length === 0) rmSync(place, { recursive: true });
  });
}
