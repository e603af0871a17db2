import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { imageServer, type ImageServer, streams } from "../support/image-server.js";
import { instance } from "../support/instance.js";
import { testDir } from "../support/paths.js";
import { type Signer, signer } from "../support/signing.js";
import { busyboxRoot, packedTree, writeTree } from "../support/test-image.js";

/** Ubuntu's image server cannot be reached here: one on loopback with the same layout is asked. */

const arch = process.arch === "arm64" ? "arm64" : "amd64";

/** Publishes a root file system in one of the streams. */
function publish(server: ImageServer, key: Signer, stream: string, release: string, build: string): void {
  const root = busyboxRoot({ "etc/build": `${stream} ${build}\n` });
  const meta = packedTree((tree) => {
    writeTree(tree, {
      "metadata.yaml": "architecture: x86_64\ncreation_date: 1700000000\nproperties:\n  os: ubuntu\n",
    });
  });
  const at = (name: string): string => `server/${release}/${build}/${name}`;
  const { index, products } = streams({
    os: "Ubuntu",
    release,
    arch,
    aliases: `${release},default`,
    versions: {
      [build]: [
        { ftype: "lxd.tar.xz", path: at("lxd.tar.xz"), bytes: meta },
        { ftype: "root.tar.xz", path: at("root.tar.xz"), bytes: root },
      ],
    },
  });
  const base = `/${stream}`;
  server.files.set(`${base}/${at("lxd.tar.xz")}`, meta);
  server.files.set(`${base}/${at("root.tar.xz")}`, root);
  server.files.set(`${base}/streams/v1/index.sjson`, key.inline(index));
  server.files.set(`${base}/streams/v1/images.json`, Buffer.from(products));
  server.files.set(`${base}/streams/v1/images.json.gpg`, key.detached(products));
}

test("lxc-create -t ubuntu-cloud takes published images and files, and tells cloud-init who it is", async (t) => {
  const above = mkdtempSync(join(testDir, "islt-cloud-"));
  t.after(() => {
    rmSync(above, { recursive: true });
  });
  const file = (name: string, text: string | Uint8Array): string => {
    writeFileSync(join(above, name), text);
    return join(above, name);
  };
  const cache = join(above, "cache");
  mkdirSync(cache);
  const own = await instance(t, { env: { ISLET_IMAGE_CACHE: cache } });
  const server = await imageServer(t);
  const key = signer(t, "cloud");
  publish(server, key, "releases", "noble", "20260101");
  publish(server, key, "daily", "resolute", "20261101");
  const config = file("config", "lxc.net.0.type = empty\n");
  const create = (name: string, ...words: readonly string[]): ReturnType<typeof own.command> =>
    own.command(["lxc-create", ...own.store.at(name), "-f", config, "-t", "ubuntu-cloud", "--", ...words], {
      env: { MIRROR: "http://mirror.example/ubuntu" },
    });
  const from = ["--server", server.url, "--keyring", key.keyring];
  const rootOf = (name: string): string => join(own.store.path, name, "rootfs");
  const read = (name: string, path: string): string => readFileSync(join(rootOf(name), path), "utf8");
  const seed = (file_: string): string => `var/lib/cloud/seed/nocloud-net/${file_}`;

  const one = await create(
    "one",
    "-r",
    "noble",
    ...from,
    "-i",
    "h1",
    "-S",
    file("id.pub", "ssh-rsa A a\nssh-rsa B b\n"),
    "-L",
  );
  assert.equal(one.status, 0, one.stderr);
  assert.match(one.stdout, /^Container one created\.$/m);
  assert.equal(read("one", "etc/build"), "releases 20260101\n");
  assert.equal(
    read("one", seed("meta-data")),
    "instance-id: lxc-h1\nlocal-hostname: one\npublic-keys:\n- ssh-rsa A a\n- ssh-rsa B b\n",
  );
  assert.match(read("one", seed("user-data")), /^apt_mirror: http:\/\/mirror\.example\/ubuntu$/m);
  assert.ok(!existsSync(join(rootOf("one"), seed("vendor-data"))));
  const lines = readFileSync(join(own.store.path, "one/config"), "utf8");
  assert.match(lines, /# Container specific configuration\n(?:.*\n)*lxc\.uts\.name = one\n/);

  const asked = server.requests.length;
  assert.equal((await create("two", "-r", "noble", ...from)).status, 0);
  assert.equal(server.requests.length, asked, "the second is a copy");
  assert.notEqual(read("two", seed("meta-data")), read("one", seed("meta-data")));

  const daily = await create("daily", "-r", "resolute", ...from, "-C", "-u", file("user", "#cloud-config\n"));
  assert.equal(daily.status, 0, daily.stderr);
  assert.equal(read("daily", "etc/build"), "daily 20261101\n");
  assert.ok(!existsSync(join(rootOf("daily"), "var/lib/cloud")), "a metadata service is asked");
  assert.match((await create("no", "-r", "resolute", "-s", "released", ...from)).stderr, /resolute/);
  assert.match((await create("no", "-s", "weekly", ...from)).stderr, /'daily' and 'released'/);

  const tarball = file("root.tar.xz", busyboxRoot({ "etc/build": "a file\n" }));
  const given = ["-u", file("user", "#cloud-config\nx: 1\n"), "-V", file("vendor", "#cloud-config\ny: 1\n")];
  const local = await create("local", "-T", tarball, ...given);
  assert.equal(local.status, 0, local.stderr);
  assert.equal(read("local", "etc/build"), "a file\n");
  assert.equal(read("local", "etc/hostname"), "local\n");
  assert.equal(read("local", seed("user-data")), "#cloud-config\nx: 1\n");
  assert.equal(read("local", seed("vendor-data")), "#cloud-config\ny: 1\n");
  assert.match((await create("no", "-T", join(above, "none.tar"))).stderr, /there is no file \S+none\.tar/);
  assert.match((await create("no", "-T", "https://example.org/x.tar")).stderr, /nobody has signed/);
  assert.match((await create("no", "-u", join(above, "none"), ...from)).stderr, /--userdata: file '\S+none' not found/);
  assert.ok(!existsSync(join(own.store.path, "no")));
});
