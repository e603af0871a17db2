import { readFileSync } from "node:fs";
import type { ReadContext } from "../../../../src/frontends/libvirt/xml/read-context.js";

/** A whole document, or what the smallest one has instead of its own parts. */
export type Give =
  | string
  | {
      readonly top?: string;
      readonly os?: string;
      readonly dev?: string;
      readonly name?: string;
      readonly mem?: string;
      readonly attrs?: string;
    };

export function textOf(give: Give): string {
  if (typeof give === "string") return give;
  const { top = "", os = "<type>exe</type><init>/i</init>", dev = "" } = give;
  const { name = "<name>p</name>", mem = "<memory>65536</memory>", attrs = "type='lxc'" } = give;
  return `<domain ${attrs}>${name}${mem}<os>${os}</os>${top}<devices>${dev}</devices></domain>`;
}

export const context: ReadContext = {
  newUuid: () => "00000000-0000-4000-8000-000000000001",
  newMac: () => "52:54:00:00:00:01",
  defaultEmulator: "/usr/lib/libvirt/libvirt_lxc",
  arch: "x86_64",
};

const folder = new URL(import.meta.url).pathname.replace("/dist/", "/").replace(/[^/]*$/, "fixtures/");

export function fixture(name: string): unknown {
  return JSON.parse(readFileSync(`${folder}${name}.json`, "utf8"));
}
