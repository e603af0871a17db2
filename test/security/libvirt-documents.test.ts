import assert from "node:assert/strict";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { descriptorCount } from "../support/leaks.js";
import { libvirtClient } from "../support/libvirt-wire.js";
import { lacks } from "../support/skip.js";
import { virshPlace } from "../support/virsh.js";
import { waitFor } from "../support/wait.js";

/** Documents that are made to do harm, through `virsh define` and the wire: an error, soon, and nothing of them stays. */

const entities = (depth: number): string =>
  Array.from({ length: depth }, (_, level) => `<!ENTITY e${level + 1} "${`&e${level};`.repeat(10)}">`).join("");

test("bombs, other files and huge documents are refused, and the daemon serves others meanwhile", async (t) => {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const place = await virshPlace(t);
  const root = place.rootfs("guest");
  const secret = join(root, "secret");
  writeFileSync(secret, "a-secret-of-the-host");
  const domain = (name: string, more: { top?: string; head?: string; device?: string } = {}): string =>
    `${more.head ?? ""}<domain type='lxc'><name>${name}</name><memory>65536</memory><os><type>exe</type><init>/bin/sh</init></os>${more.top ?? ""}
<devices><filesystem type='mount'><source dir='${root}'/><target dir='/'/></filesystem>${more.device ?? ""}</devices></domain>`;
  const noted = (count: number): string =>
    `<metadata><m:all xmlns:m='urn:m'>${many(count, "<n i='1'/>")}</m:all></metadata>`;
  const many = (count: number, element: string): string => element.repeat(count);

  const harmful: readonly (readonly [string, string])[] = [
    ["a billion laughs", domain("&e9;", { head: `<!DOCTYPE domain [<!ENTITY e0 "ha">${entities(9)}]>` })],
    [
      "one large entity, often",
      domain(many(2000, "&e;"), { head: `<!DOCTYPE domain [<!ENTITY e "${"x".repeat(100_000)}">]>` }),
    ],
    ["an entity of itself", domain("&a;", { head: '<!DOCTYPE domain [<!ENTITY a "&b;"><!ENTITY b "&a;">]>' })],
    ["a file as a name", domain("&f;", { head: `<!DOCTYPE domain [<!ENTITY f SYSTEM "file://${secret}">]>` })],
    [
      "a file as a parameter",
      domain("x", {
        head: `<!DOCTYPE domain [<!ENTITY % f SYSTEM "file://${secret}"> %f;]>`,
        top: "<title>&g;</title>",
      }),
    ],
    ["a name of a million letters", domain("x".repeat(1_000_000))],
    ["a name that leads elsewhere", domain("../../../etc/x")],
    ["a name with a line of its own", domain("x&#10;lxc.log.level = 1")],
    ["50,000 elements inside one another", `${many(50_000, "<a>")}${many(50_000, "</a>")}`],
    ["nothing but the beginning of elements", many(300_000, "<domain>")],
    ["100,000 elements", domain("x", { top: noted(100_000) })],
    ["a number without end", domain("x", { top: `<vcpu>${many(100_000, "9")}</vcpu>` })],
    ["a byte that is no character", domain("x", { top: "<title>\u0001</title>" })],
    ["an attribute of a million letters", domain("x", { top: `<clock offset='${"u".repeat(1_000_000)}'/>` })],
  ];
  const client = await libvirtClient(t, place.socket);
  const other = await libvirtClient(t, place.socket);
  const everything = { need_results: 1, flags: 0 } as const;
  await other.call("CONNECT_LIST_ALL_DOMAINS", everything);
  const pid = place.own.pid();
  const before = descriptorCount(pid);
  for (const [what, xml] of harmful) {
    const started = performance.now();
    const asked = client.call("DOMAIN_DEFINE_XML", { xml }).then(
      () => "defined",
      (error: unknown) => String(error),
    );
    await other.call("CONNECT_LIST_ALL_DOMAINS", everything, 5000);
    const said = await asked;
    assert.match(
      said,
      /^Error: (XML error: |invalid char in name: |unsupported configuration: |invalid argument: |\(domain_definition\):1: )/,
      `${what}: ${said.slice(0, 200)}`,
    );
    assert.ok(!said.includes("a-secret"), what);
    assert.ok(said.length < 16_000, `${what}: ${said.length} characters of an error`);
    assert.ok(performance.now() - started < 5000, what);
  }
  const { domains } = await other.call("CONNECT_LIST_ALL_DOMAINS", everything);
  assert.deepEqual(domains, []);
  assert.deepEqual(readdirSync(place.own.store.path), []);

  // The same by way of virsh.
  const file = join(root, "..", "bomb.xml");
  writeFileSync(file, harmful[0]?.[1] ?? "");
  const { status, stderr } = await place.virsh(["define", file]);
  assert.equal(status, 1);
  assert.match(stderr, /error: Failed to define domain from /);

  // What is only large is a domain: it comes back as it was, and goes without a trace.
  const large = domain("large", { top: noted(50_000) });
  const { dom } = await client.call("DOMAIN_DEFINE_XML", { xml: large }, 20_000);
  const { xml } = await client.call("DOMAIN_GET_XML_DESC", { dom, flags: 0 }, 20_000);
  assert.equal(xml.match(/<n i=["']\d+["']\/>/g)?.length, 50_000);
  await client.call("DOMAIN_UNDEFINE", { dom }, 20_000);
  assert.ok(!existsSync(join(place.own.store.path, "large")));
  assert.equal(place.own.pid(), pid);
  await waitFor("its descriptors", () => descriptorCount(pid) <= before);
});
