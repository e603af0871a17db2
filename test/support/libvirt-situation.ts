import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { Cleaner } from "./cleanup.js";
import { createNames, type Names } from "./libvirt-names.js";
import { recorded, answerOf } from "./libvirt-recording.js";
import type { Stage } from "./libvirt-replay.js";
import { libvirtClient } from "./libvirt-wire.js";
import { netns } from "./netns.js";
import { testDir } from "./paths.js";
import { lacks } from "./skip.js";
import { virshPlace, type VirshPlace } from "./virsh.js";

/** The domains of the host that libvirt's sessions were recorded on, made again: t1 waits, t2 has one of everything, t3 has shells at its consoles. */
export interface Situation {
  readonly place: VirshPlace;
  readonly names: Names;
}

/** The document of t3, which is defined anew again and again. */
export const t3 = `<domain type='lxc'>
  <name>t3</name>
  <memory>65536</memory>
  <os><type>exe</type><init>/sbin/init</init></os>
  <devices>
    <filesystem><source dir='/var/lib/libvirt/filesystems/g3'/><target dir='/'/></filesystem>
    <console type='pty'/><console type='pty'/>
  </devices>
</domain>
`;

/** That of t4: it is there while it runs. */
export const t4 = `<domain type='lxc'>
  <name>t4</name>
  <memory>65536</memory>
  <os><type>exe</type><init>/dumpinit</init></os>
  <devices>
    <filesystem><source dir='/var/lib/libvirt/filesystems/g3'/><target dir='/'/></filesystem>
    <console type='pty'/>
  </devices>
</domain>
`;

/** A document of an answer. */
function documentOf(session: string, index: number): string {
  const frame = recorded(session)[index];
  const answer = frame === undefined ? null : answerOf(frame, []);
  if (answer?.status !== "ok") throw new Error(`${session} ${index} is no document`);
  return String(answer.value["xml"]);
}

export const t1 = (): string => documentOf("95-errors", 27);
const t2 = (): string => documentOf("40-xml", 3);

/** `if (lacksHost(t)) return;`: what the host of the recordings had for t2, and this one has not. */
export const lacksHost = (t: TestContext): boolean =>
  (["root", "veth", "bridge", "dnsmasq", "cpuset"] as const).some((feature) => lacks(t, feature));

type Name = "t1" | "t2" | "t3";

/** `off` and `running`: which of them there are. */
export async function situation(
  t: Cleaner,
  { off = [], running = [] }: { readonly off?: readonly Name[]; readonly running?: readonly Name[] },
): Promise<Situation> {
  const all = [...off, ...running];
  const place = running.includes("t2") ? await networkPlace(t) : await virshPlace(t);
  const named = createNames();
  for (const name of ["g1", "g2", "g3"]) {
    const root = place.rootfs(name);
    writeFileSync(join(root, "dumpinit"), "#!/bin/sh\nexec sleep 100000\n", { mode: 0o755 });
    writeFileSync(join(root, "etc/inittab"), "::respawn:-/bin/sh\n");
    named.same(`/var/lib/libvirt/filesystems/${name}`, root);
  }
  const client = await libvirtClient(t, place.socket);
  const documents = { t1, t2, t3: () => t3 };
  for (const name of all) {
    const { dom } = await client.call("DOMAIN_DEFINE_XML", { xml: String(named.toOurs(documents[name]())) });
    if (running.includes(name)) await client.call("DOMAIN_CREATE", { dom }, 30_000);
  }
  return { place, names: named };
}

/** With the bridge br0 and the network `default`. */
async function networkPlace(t: Cleaner): Promise<VirshPlace> {
  // Before what the others undo: its dnsmasq would live on.
  let down: () => Promise<unknown> = () => Promise.resolve();
  t.after(async () => {
    await down();
  });
  const net = await netns(t);
  const above = mkdtempSync(join(testDir, "islt-lxc-net-"));
  t.after(() => {
    rmSync(above, { recursive: true });
  });
  const file = join(above, "lxc-net");
  writeFileSync(file, "LXC_BRIDGE=virbr0\n");
  await net.ok(["ip", "link", "add", "br0", "type", "bridge"]);
  await net.ok(["ip", "link", "set", "br0", "up"]);
  const place = await virshPlace(t, { netnsPid: net.pid, env: { ISLET_LXC_NET: file } });
  down = () => place.own.command(["islet", "net", "down", "--force", `--config=${file}`]);
  return place;
}

/** The host's ends of t2's interfaces are called otherwise here. */
export async function sameLinks({ call, dom, names }: Stage): Promise<void> {
  const { xml } = await call("DOMAIN_GET_XML_DESC", { dom: dom("t2"), flags: 0 });
  const links = { vnet0: "00:16:3e:11:22:33", vnet2: "52:54:00:9d:5a:3e" };
  for (const [theirs, mac] of Object.entries(links)) {
    const ours = new RegExp(`${mac}'/>\\n.*\\n *<target dev='(.*)'`).exec(xml)?.[1];
    if (ours === undefined) throw new Error(`no link with ${mac} in\n${xml}`);
    names.same(theirs, ours);
  }
}

/** Makes a domain one that runs, or does not; t3 and t4 alone, which come and go. */
export async function bring(stage: Stage, name: "t3" | "t4", to: "running" | "off" | "gone"): Promise<void> {
  const states = await stage.call("CONNECT_LIST_ALL_DOMAINS", { need_results: 1, flags: 0 });
  const now = states.domains.find((each) => each.name === name);
  const isTransient = now !== undefined && (await stage.call("DOMAIN_IS_PERSISTENT", { dom: now })).persistent === 0;
  if (to === "running" && now !== undefined && now.id !== -1) return;
  if (now !== undefined && now.id !== -1) await stage.call("DOMAIN_DESTROY", { dom: now });
  if (to === "gone" && now !== undefined && !isTransient) await stage.call("DOMAIN_UNDEFINE", { dom: now });
  if (to === "gone") return;
  if (now === undefined || isTransient) {
    const xml = String(stage.names.toOurs(name === "t3" ? t3 : t4));
    await stage.call("DOMAIN_DEFINE_XML", { xml });
  }
  if (to === "running") await stage.call("DOMAIN_CREATE", { dom: stage.dom(name) });
}
