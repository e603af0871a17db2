import assert from "node:assert/strict";
import { LibvirtError } from "../../../../src/frontends/libvirt/errors.js";
import { domainFromNative } from "../../../../src/frontends/libvirt/native/from-native.js";
import type { DomainDoc } from "../../../../src/frontends/libvirt/xml/domain.js";

export const uuid = "db60c4b7-8071-445d-9711-ee9675ebf4ac";
export const generatedMac = "52:54:00:12:34:56";

export const fromNative = (text: string): DomainDoc =>
  domainFromNative(text, {
    newUuid: () => uuid,
    newMac: () => generatedMac,
    arch: "x86_64",
    emulator: "/usr/lib/libvirt/libvirt_lxc",
  });

/** With a name and a root, so that what matters stands alone. */
export const withRoot = (...lines: readonly string[]): DomainDoc =>
  fromNative(["lxc.uts.name = c1", "lxc.rootfs.path = dir:/srv/c1", ...lines].join("\n"));

/** Checks code, domain and the message without its prefix. */
export const refusal = (code: number, domain: number, detail: string) => (error: unknown) => {
  assert.ok(error instanceof LibvirtError, String(error));
  assert.deepEqual([error.code, error.domain, error.detail], [code, domain, detail]);
  return true;
};
