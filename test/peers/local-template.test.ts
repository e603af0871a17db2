import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { instance } from "../support/instance.js";
import { testDir } from "../support/paths.js";
import { peerStore } from "../support/peer.js";
import { lacks } from "../support/skip.js";

/** What lxc-local makes of LXC's image files, and what is made of them here. */

const place = mkdtempSync(join(testDir, "islt-local-"));
after(() => {
  rmSync(place, { recursive: true, force: true });
});
const meta = join(place, "meta.tar.xz");
const tree = join(place, "rootfs.tar.xz");

function makeImage(): void {
  const script = `
    mkdir -p meta root/etc/init root/dev root/usr/share/doc/x root/bin && cd meta
    printf 'lxc.include = LXC_TEMPLATE_CONFIG/common.conf\\nlxc.arch = x86_64\\nlxc.hook.pre-start = LXC_HOOK_DIR/clonehostname\\n' >config
    printf 'proc proc proc nodev 0 0\\n# LXC_ROOTFS of LXC_NAME in LXC_PATH\\n' >fstab
    printf 'etc/hostname\\netc/none\\n' >templates; printf './usr/share/doc\\n./dev/console\\n' >excludes
    printf 'Made.\\nEnjoy.\\n' >create-message
    tar -cJf ../meta.tar.xz *; cd ../root
    echo LXC_NAME >etc/hostname; echo 'exec /sbin/mingetty tty1' >etc/init/tty.conf
    mknod dev/console c 5 1; mknod dev/null c 1 3; chmod 666 dev/null; echo doc >usr/share/doc/x/y
    cp /bin/busybox bin/; chmod 4755 bin/busybox; ln bin/busybox bin/hard; ln -s /bin/busybox bin/link
    chown 1234:567 etc/hostname; chmod 640 etc/hostname; touch -d '2001-02-03 04:05:06' bin/busybox
    tar -cJf ../rootfs.tar.xz --numeric-owner .`;
  execFileSync("sh", ["-ec", script], { cwd: place });
}

/** Owner, mode, type, time of files (not of directories that something was written to) and content. */
function picture(root: string): string {
  const script = `
    find . -printf '%p %y %m %U %G %l %n\\n' | LC_ALL=C sort
    find bin -type f -printf '%p %T@\\n' | LC_ALL=C sort; find . -type f -exec sha256sum {} + | LC_ALL=C sort -k2`;
  return execFileSync("sh", ["-c", script], { cwd: root, encoding: "utf8" });
}

describe("the template local", () => {
  it("makes the root file system, configuration, fstab and message that LXC makes", async (t) => {
    if (lacks(t, "lxc")) return;
    makeImage();
    const peer = peerStore(t);
    const islet = await instance(t);
    const words = ["-t", "local", "--", "-m", meta, "-f", tree];
    const theirs = await peer.ok(["lxc-create", ...peer.at("web"), ...words]);
    const ours = await islet.ok(["lxc-create", ...islet.store.at("web"), ...words]);
    assert.equal(ours, theirs);
    const [a, b] = [peer.path, islet.store.path].map((store) => join(store, "web"));
    assert.equal(picture(join(b ?? "", "rootfs")), picture(join(a ?? "", "rootfs")));
    const file = (store: string, name: string): string =>
      readFileSync(join(store, "web", name), "utf8").replaceAll(store, "STORE");
    assert.equal(file(islet.store.path, "fstab"), file(peer.path, "fstab"));
    const settings = (text: string): readonly string[] =>
      text.split("\n").filter((line) => !/^(# (Param|Templ)|lxc\.net|$)/.test(line));
    assert.deepEqual(settings(file(islet.store.path, "config")), settings(file(peer.path, "config")));
  });
});

const yaml = (more: string): string =>
  `architecture: x86_64\ncreation_date: 1700000000\nproperties:\n  os: Debian\n  release: bookworm\n${more}`;

/** LXD's image, unified, with this metadata.yaml. */
function unified(metadata: string | null, root = "rootfs"): string {
  const directory = mkdtempSync(join(place, "lxd-"));
  mkdirSync(join(directory, root, "etc"), { recursive: true });
  mkdirSync(join(directory, "templates"));
  if (metadata !== null) writeFileSync(join(directory, "metadata.yaml"), metadata);
  writeFileSync(join(directory, "templates/hostname.tpl"), "{{ container.name }}\n");
  writeFileSync(join(directory, "templates/odd.tpl"), "{% if x %}x{% endif %}");
  writeFileSync(join(directory, root, "etc/kept"), "kept");
  execFileSync("tar", [
    "-C",
    directory,
    "-czf",
    join(directory, "image.tar.gz"),
    ...(metadata === null ? [] : ["metadata.yaml"]),
    "templates",
    root,
  ]);
  return join(directory, "image.tar.gz");
}

describe("an image of LXD's", () => {
  const templates = `templates:
  /etc/hostname: {when: [create, copy], template: hostname.tpl}
  /etc/kept: {when: [create], create_only: true, template: hostname.tpl}
  /etc/odd: {when: [start], template: odd.tpl}
  /etc/renamed: {when: [rename], template: hostname.tpl}
`;

  it("unified or split becomes a container, with its templates", async (t) => {
    const islet = await instance(t);
    const image = unified(yaml(templates));
    const squashfs = join(place, "rootfs.squashfs");
    execFileSync("mksquashfs", [join(image, "..", "rootfs"), squashfs, "-quiet", "-no-progress", "-noappend"], {
      stdio: "ignore",
    });
    for (const [name, words] of [
      ["unified", ["-f", image]],
      ["split", ["-m", image, "-f", squashfs]],
    ] as const) {
      const { status, stderr } = await islet.command([
        "lxc-create",
        ...islet.store.at(name),
        "-t",
        "local",
        "--",
        ...words,
      ]);
      assert.equal(status, 0, stderr);
      assert.match(stderr, /the template odd\.tpl for \/etc\/odd was not applied/);
      const inside = (path: string): string => readFileSync(join(islet.store.path, name, "rootfs", path), "utf8");
      assert.equal(inside("etc/hostname"), `${name}\n`);
      assert.equal(inside("etc/kept"), "kept");
      assert.throws(() => inside("etc/renamed"));
      const config = readFileSync(join(islet.store.path, name, "config"), "utf8");
      assert.match(config, new RegExp(`^lxc.uts.name = ${name}$[^]*^lxc.arch = x86_64$`, "m"));
    }
  });

  const faults: readonly (readonly [string, string, string])[] = [
    ["without an architecture", "creation_date: 1\n", "Architecture isn't supported: "],
    ["of an unknown architecture", "architecture: zx81\ncreation_date: 1\n", "Architecture isn't supported: zx81"],
    ["without a date", "architecture: x86_64\n", "Missing creation date"],
    [
      "of another architecture",
      "architecture: s390x\ncreation_date: 1\n",
      "Requested architecture isn't supported by this host",
    ],
  ];
  for (const [what, metadata, wanted] of faults)
    it(`${what} is refused in LXD's words`, async (t) => {
      const islet = await instance(t);
      const { status, stderr } = await islet.command([
        "lxc-create",
        ...islet.store.at("x"),
        "-t",
        "local",
        "--",
        "-f",
        unified(metadata),
      ]);
      assert.equal(status, 1);
      assert.ok(stderr.includes(wanted), stderr);
      assert.throws(() => readFileSync(join(islet.store.path, "x/config")));
    });

  it("without metadata or root file system is refused in LXD's words", async (t) => {
    const islet = await instance(t);
    const create = async (file: string): Promise<string> =>
      (await islet.command(["lxc-create", ...islet.store.at("x"), "-t", "local", "--", "-f", file])).stderr;
    assert.match(await create(unified(null)), /Metadata tarball is missing metadata\.yaml/);
    assert.match(await create(unified(yaml(""), "other")), /Invalid instance type/);
    assert.match(await create(join(place, "none.tar")), /there is no file \S+none\.tar/);
  });
});
