import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { type Change, changes, killAtChange } from "../support/killed.js";
import { libvirtClient, type WireClient } from "../support/libvirt-wire.js";
import { waitFor } from "../support/wait.js";
import { lacks } from "../support/skip.js";
import { virshPlace, type VirshPlace } from "../support/virsh.js";

/** The daemon killed at every step of a change of a definition: there is the old one or the new one, and the next daemon does what it is asked. */

const name = "guest";
const definition = (root: string, kibibytes: number): string =>
  `<domain type='lxc'><name>${name}</name><uuid>4de601c5-e42e-4721-81c9-7abc8ac07934</uuid><memory>${kibibytes}</memory>
<os><type>exe</type><init>/bin/sh</init></os><devices><filesystem type='mount'><source dir='${root}'/><target dir='/'/></filesystem></devices></domain>`;
const everything = { need_results: 1, flags: 0 } as const;
const dom = { name, uuid: "4de601c5-e42e-4721-81c9-7abc8ac07934", id: -1 } as const;

/** Memory in KiB that is in the definition; null: there is none. */
async function memory(client: WireClient): Promise<number | null> {
  const { domains } = await client.call("CONNECT_LIST_ALL_DOMAINS", everything);
  if (domains.length === 0) return null;
  assert.equal(domains.length, 1);
  const { xml } = await client.call("DOMAIN_GET_XML_DESC", { dom, flags: 2 });
  return Number(/<memory unit='KiB'>(\d+)</.exec(xml)?.[1]);
}

interface Wanted {
  /** Memory before and after it. */
  readonly from: number | null;
  readonly to: number | null;
  /** The root is in the directory that the store has for the domain. */
  readonly hasRoot?: boolean;
  readonly make: (client: WireClient, root: string) => Promise<unknown>;
}

/** Files of the store that no definition has. */
function strays(place: VirshPlace, isDefined: boolean, hasRoot: boolean): readonly string[] {
  const directory = join(place.own.store.path, name);
  if (!existsSync(directory)) return isDefined ? ["it is not there"] : [];
  const files = readdirSync(directory).sort();
  if (isDefined)
    return files.filter(
      (file) => !["config", "domain.xml", "rootfs"].includes(file) && !file.startsWith("config.islet-"),
    );
  // Killed before it was noted that something is made: no domain for anybody, and taken or removed as soon as the name is wanted again.
  if (!hasRoot && files.length === 0) return [];
  return files.join() === (hasRoot ? "rootfs" : "partial") ? [] : [`the directory with ${files.join(", ")}`];
}

async function killedThroughout(t: TestContext, { from, to, hasRoot = false, make }: Wanted): Promise<void> {
  if (lacks(t, "root") || lacks(t, "strace")) return;
  const place = await virshPlace(t);
  const own = join(place.own.store.path, name, "rootfs");
  const elsewhere = place.rootfs(name);
  const root = hasRoot ? own : elsewhere;
  if (hasRoot) {
    mkdirSync(join(place.own.store.path, name));
    renameSync(elsewhere, own);
  }
  const before = statSync(root).ino;
  const files = readdirSync(root, { recursive: true }).length;
  const seen = new Set<number | null>();
  let steps = 0;
  /** false: the change was over before. */
  const killed = async (change: Change, nth: number): Promise<boolean> => {
    const step = `${change} ${nth}`;
    const client = await libvirtClient(t, place.socket);
    const there = await memory(client);
    if (from === null && there !== null) await client.call("DOMAIN_UNDEFINE", { dom });
    if (from !== null) await client.call("DOMAIN_DEFINE_XML", { xml: definition(root, from) });
    assert.deepEqual(strays(place, from !== null, hasRoot), [], `before ${step}`);
    const detach = await killAtChange(place.own.pid(), change, nth);
    const outcome = await make(client, root).then(
      () => "done",
      (error: unknown) => String(error),
    );
    await detach();
    if (outcome === "done") {
      assert.equal(await memory(client), to);
      client.close();
      return false;
    }
    assert.match(outcome, /the daemon has closed the connection/, step);
    client.close();
    steps += 1;
    await place.own.restart();
    const next = await libvirtClient(t, place.socket);
    const left = await memory(next);
    assert.ok(left === from || left === to, `${step}: ${left} KiB`);
    seen.add(left);
    const isClean = (): boolean => strays(place, left !== null, hasRoot).length === 0;
    await waitFor(`nothing but the definition after ${step}`, isClean, { timeout: 10_000 }).catch(() => {
      assert.deepEqual(strays(place, left !== null, hasRoot), [], `after ${step}`);
    });
    assert.equal(statSync(root).ino, before);
    assert.equal(readdirSync(root, { recursive: true }).length, files, `the root after ${step}`);
    if (left !== null) assert.match(readFileSync(join(place.own.store.path, name, "config"), "utf8"), /^lxc\./m);
    // The same again works now.
    if (left === from) await make(next, root);
    assert.equal(await memory(next), to, step);
    next.close();
    return true;
  };
  for (const change of changes) for (let nth = 1; await killed(change, nth);) nth += 1;
  assert.ok(steps >= 2, `${steps} steps`);
  assert.ok(seen.has(from), "an early step leaves it as it was");
  t.diagnostic(`${steps} steps`);
}

const define = (kibibytes: number) => (client: WireClient, root: string) =>
  client.call("DOMAIN_DEFINE_XML", { xml: definition(root, kibibytes) });

test("define", (t) => killedThroughout(t, { from: null, to: 65536, make: define(65536) }));
test("define of a domain whose root is in its directory of the store", (t) =>
  killedThroughout(t, { from: null, to: 65536, hasRoot: true, make: define(65536) }));
test("define over another definition", (t) => killedThroughout(t, { from: 65536, to: 70000, make: define(70000) }));
test("setmem --config", (t) =>
  killedThroughout(t, {
    from: 65536,
    to: 72000,
    make: (client) => client.call("DOMAIN_SET_MEMORY_FLAGS", { dom, memory: 72000n, flags: 6 }),
  }));
test("undefine", (t) =>
  killedThroughout(t, {
    from: 65536,
    to: null,
    make: (client) => client.call("DOMAIN_UNDEFINE", { dom }),
  }));
test("undefine of a domain whose root is in its directory of the store", (t) =>
  killedThroughout(t, {
    from: 65536,
    to: null,
    hasRoot: true,
    make: (client) => client.call("DOMAIN_UNDEFINE", { dom }),
  }));
