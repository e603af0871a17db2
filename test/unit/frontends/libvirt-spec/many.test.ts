import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fromSpec as lxcConfig } from "../../../../src/frontends/lxc/config/from-spec.js";
import { fromSpec } from "../../../../src/frontends/libvirt/spec/from-spec.js";
import { type HostFile, toSpec } from "../../../../src/frontends/libvirt/spec/to-spec.js";
import { readDomain } from "../../../../src/frontends/libvirt/xml/read-domain.js";
import { writeDomain } from "../../../../src/frontends/libvirt/xml/write-domain.js";
import { specContext } from "../../../support/domain.js";
import { assertLinear } from "../../../support/growth.js";
import { context, type Give, textOf } from "../libvirt-xml/support.js";

/** Documents with many of a thing: nobody else is answered while one is read. */

const many = (count: number, one: (number: number) => string): string =>
  Array.from({ length: count }, (_, number) => one(number)).join("");

const program = "<type>exe</type><init>/i</init>";
const octets = (number: number): string => `${number >> 8}.${number & 255}`;
const disks = many(900, (number) => {
  const letters = [number / 676, (number / 26) % 26, number % 26].map((place) => 97 + Math.floor(place));
  return `<disk type='block'><source dev='/dev/x'/><target dev='sd${String.fromCharCode(...letters)}'/></disk>`;
});

const kinds: Readonly<Record<string, (count: number) => Give>> = {
  filesystem: (count) => ({
    dev: many(count, (n) => `<filesystem><source dir='/a${n}'/><target dir='/b${n}'/></filesystem>`),
  }),
  interface: (count) => ({ dev: many(count, () => "<interface type='bridge'><source bridge='b'/></interface>") }),
  "address of an interface": (count) => ({
    dev: `<interface type='bridge'><source bridge='b'/>${many(count, (n) => `<ip address='10.1.${octets(n)}'/>`)}</interface>`,
  }),
  console: (count) => ({ dev: many(count, () => "<console/>") }),
  controller: (count) => ({
    dev: `${disks}${many(count, (n) => `<controller type='scsi' index='${n}'/>`)}`,
  }),
  hostdev: (count) => ({
    dev: many(
      count,
      (n) => `<hostdev mode='capabilities' type='misc'><source><char>/dev/c${n}</char></source></hostdev>`,
    ),
  }),
  seclabel: (count) => ({ top: many(count, (n) => `<seclabel type='none' model='m${n}'/>`) }),
  "range of ids": (count) => ({
    top: `<idmap>${many(count, (n) => `<uid start='${n}' target='1' count='1'/><gid start='${n}' target='1' count='1'/>`)}</idmap>`,
  }),
  initenv: (count) => ({ os: `${program}${many(count, (n) => `<initenv name='A${n}'>x</initenv>`)}` }),
  initarg: (count) => ({ os: `${program}${many(count, (n) => `<initarg>${n}</initarg>`)}` }),
  timer: (count) => ({
    top: `<clock offset='localtime'>${many(count, () => "<timer name='rtc' present='yes'/>")}</clock>`,
  }),
  "device of blkiotune": (count) => ({
    top: `<blkiotune>${many(count, (n) => `<device><path>/dev/b${n}</path><weight>500</weight></device>`)}</blkiotune>`,
  }),
  "element of metadata": (count) => ({
    top: `<metadata>${many(count, (n) => `<a xmlns='urn:${n}'/>`)}</metadata>`,
  }),
  "element within one of metadata": (count) => ({
    top: `<metadata><a xmlns='urn:a'>${"<b/>".repeat(count)}</a></metadata>`,
  }),
};

/** Long enough that a collection of garbage more or less is not what is measured. */
const few = 5_000;
const stat = (path: string): HostFile =>
  path.startsWith("/dev/b") ? { kind: "b", major: 8, minor: 1 } : { kind: "c", major: 10, minor: 1 };

describe("a document with many elements", () => {
  for (const [kind, give] of Object.entries(kinds))
    it(`is read and written in the time that their number takes: ${kind}`, () => {
      assertLinear(`read ${kind}`, few, (count) => {
        const text = textOf(give(count));
        return () => readDomain(text, context);
      });
      assertLinear(`write ${kind}`, few, (count) => {
        const doc = readDomain(textOf(give(count)), context);
        assert.ok(writeDomain(doc, { inactive: true, secure: true }).length > count);
        return () => writeDomain(doc, { inactive: true, secure: true });
      });
    });

  for (const kind of ["address of an interface", "range of ids", "initenv", "initarg", "timer", "device of blkiotune"])
    it(`becomes a container and a configuration in the time that their number takes: ${kind}`, () => {
      assertLinear(`spec of ${kind}`, few, (count) => {
        const doc = readDomain(textOf(kinds[kind]!(count)), context);
        return () => {
          const spec = toSpec(doc, specContext({}, { stat }));
          assert.ok(lxcConfig(spec).length > count);
          fromSpec(spec, doc.uuid, 1024n, "x86_64");
        };
      });
    });
});
