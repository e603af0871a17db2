import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { end } from "../support/host.js";
import { traces } from "../support/instance.js";
import { libvirtClient, type WireClient } from "../support/libvirt-wire.js";
import { lacks } from "../support/skip.js";
import { virshPlace } from "../support/virsh.js";
import { waitFor } from "../support/wait.js";

/** The daemon killed while a domain starts or ends: it runs or it does not, the next daemon knows, and nothing of it stays in the end. */

const name = "islt-lv-killed";
const uuid = "4de601c5-e42e-4721-81c9-7abc8ac07935";
const dom = { name, uuid, id: -1 } as const;
const definition = (root: string): string =>
  `<domain type='lxc'><name>${name}</name><uuid>${uuid}</uuid><memory>65536</memory><features><privnet/></features>
<os><type>exe</type><init>/bin/sleep</init><initarg>1000</initarg></os>
<devices><filesystem type='mount'><source dir='${root}'/><target dir='/'/></filesystem></devices></domain>`;
const everything = { need_results: 1, flags: 0 } as const;
const running = 1;
const shutOff = 5;

/** Of the domain; null: it is not there. */
async function stateOf(client: WireClient): Promise<number | null> {
  const { domains } = await client.call("CONNECT_LIST_ALL_DOMAINS", everything);
  return domains.length === 0 ? null : (await client.call("DOMAIN_GET_STATE", { dom, flags: 0 })).state;
}

/** Milliseconds after the call: from before it is read to after its end. */
const delays = [0, 3, 8, 15, 30, 60] as const;

interface Run {
  readonly isDefined: boolean;
  readonly isRunning: boolean;
  readonly make: (client: WireClient, root: string) => Promise<unknown>;
}

async function killedThroughout(t: TestContext, { isDefined, isRunning, make }: Run): Promise<void> {
  if (lacks(t, "root") || lacks(t, "virsh")) return;
  const place = await virshPlace(t);
  const root = place.rootfs(name);
  const idle = isDefined ? shutOff : null;
  const first = await libvirtClient(t, place.socket);
  if (isDefined) await first.call("DOMAIN_DEFINE_XML", { xml: definition(root) });
  first.close();
  const left = (): readonly string[] =>
    traces(place.own, [name]).filter((line) => /^(cgroup|mount|process|socket)/.test(line));
  const before = left();
  for (const delay of delays) {
    const client = await libvirtClient(t, place.socket);
    if (isRunning) await client.call("DOMAIN_CREATE", { dom });
    const asked = make(client, root).then(
      () => "done",
      (error: unknown) => String(error),
    );
    await new Promise((resolve) => setTimeout(resolve, delay));
    end(place.own.pid(), "SIGKILL");
    assert.match(await asked, /^done$|the daemon has closed the connection/);
    client.close();
    await place.own.restart();
    const next = await libvirtClient(t, place.socket);
    const state = await waitFor("a state to last", async () => {
      const now = await stateOf(next);
      return now === running || now === idle ? { now } : null;
    });
    // It is as it is said to be: the next command does what it does on such a domain.
    if (state.now !== running) {
      if (isDefined) await next.call("DOMAIN_CREATE", { dom });
      else await next.call("DOMAIN_CREATE_XML", { xml_desc: definition(root), flags: 0 });
    }
    assert.equal(await stateOf(next), running, `killed after ${delay} ms`);
    await next.call("DOMAIN_DESTROY", { dom });
    await waitFor("its end", async () => (await stateOf(next)) === idle);
    next.close();
    await waitFor(`nothing to be left after ${delay} ms`, () => left().every((line) => before.includes(line)));
  }
}

test("start", (t) =>
  killedThroughout(t, { isDefined: true, isRunning: false, make: (client) => client.call("DOMAIN_CREATE", { dom }) }));
test("create", (t) =>
  killedThroughout(t, {
    isDefined: false,
    isRunning: false,
    make: (client, root) => client.call("DOMAIN_CREATE_XML", { xml_desc: definition(root), flags: 0 }),
  }));
test("destroy", (t) =>
  killedThroughout(t, { isDefined: true, isRunning: true, make: (client) => client.call("DOMAIN_DESTROY", { dom }) }));
