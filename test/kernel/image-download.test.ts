import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { programOf } from "../support/command.js";
import { imageServer, lxcIndex, sha256, streams, type ImageServer } from "../support/image-server.js";
import { instance, type Instance } from "../support/instance.js";
import { testDir } from "../support/paths.js";
import { signer, type Signer } from "../support/signing.js";
import { busyboxRoot, lxcMeta, packedTree, writeTree } from "../support/test-image.js";
import { waitFor } from "../support/wait.js";

const directory = "images/busybox/1/amd64/default/20240102_03:04";
const index = lxcIndex(
  new Map([
    [directory, ["busybox", "1", "amd64", "default", "20240102_03:04"]],
    ["images/debian/x/amd64/default/20240102_03:04", ["debian", "bookworm", "amd64", "default", "20240102_03:04"]],
    ["images/debian/y/arm64/cloud/20240102_03:04", ["debian", "bookworm", "arm64", "cloud", "20240102_03:04"]],
  ]),
);

interface Place {
  readonly own: Instance;
  readonly server: ImageServer;
  readonly key: Signer;
  readonly cache: string;
  /** lxc-create with the template's options for the image. */
  readonly create: (name: string, words?: readonly string[]) => ReturnType<Instance["command"]>;
}

async function place(t: TestContext): Promise<Place> {
  const cache = mkdtempSync(join(testDir, "cache-"));
  t.after(() => {
    rmSync(cache, { recursive: true, force: true });
  });
  const own = await instance(t, { env: { ISLET_IMAGE_CACHE: cache, ISLET_DOWNLOAD_STALL: "2000" } });
  const server = await imageServer(t);
  const key = signer(t, "images");
  const defaults = join(cache, "..", `${basename(cache)}.conf`);
  writeFileSync(defaults, "lxc.net.0.type = empty\n");
  t.after(() => {
    rmSync(defaults);
  });
  const image = ["-d", "busybox", "-r", "1", "-a", "amd64", "--server", server.url];
  return {
    own,
    server,
    key,
    cache,
    create: (name, words = ["--keyring", key.keyring]) =>
      own.command(["lxc-create", ...own.store.at(name), "-f", defaults, "-t", "download", "--", ...image, ...words]),
  };
}

/** A server as images.linuxcontainers.org is one: an index of LXC's, and signed checksums beside each image. */
function serveLxc(
  { server, key }: Pick<Place, "server" | "key">,
  meta: Uint8Array = lxcMeta(),
  root: Uint8Array = busyboxRoot(),
): void {
  const sums = `${sha256(meta)}  meta.tar.xz\n${sha256(root)}  rootfs.tar.xz\n`;
  server.files.set("/meta/1.0/index-system", Buffer.from(index));
  server.files.set(`/${directory}/meta.tar.xz`, meta);
  server.files.set(`/${directory}/rootfs.tar.xz`, root);
  server.files.set(`/${directory}/SHA256SUMS`, Buffer.from(sums));
  server.files.set(`/${directory}/SHA256SUMS.asc`, key.detached(sums));
}

/** Files below a directory whose paths match. */
function globbed(above: string, wanted: RegExp): readonly string[] {
  return readdirSync(above, { recursive: true, encoding: "utf8" })
    .map((name) => join(above, name))
    .filter((path) => wanted.test(path));
}

async function refused(
  place_: Place,
  words: RegExp,
  template: readonly string[] | undefined,
  name = "bad",
): Promise<string> {
  const { status, stderr, stdout } = await place_.create(name, template);
  assert.equal(status, 1, stdout);
  assert.match(stderr, words);
  assert.ok(!existsSync(join(place_.own.store.path, name)), "no container is left");
  return stderr;
}

describe("lxc-create -t download", () => {
  it("makes a container that boots, with the image's configuration, and asks nobody for the second one", async (t) => {
    const here = await place(t);
    serveLxc(here);
    const { own, server, create } = here;
    const first = await create("one");
    assert.equal(first.status, 0, first.stderr);
    assert.match(first.stdout, /\n---\nYou just created a busybox container\.\n$/);
    await own.ok(["lxc-start", ...own.store.at("one")]);
    const env = { PATH: "/bin:/sbin:/usr/bin" };
    assert.equal(await own.ok(["lxc-attach", ...own.store.at("one"), "--", "cat", "/etc/hostname"], { env }), "one\n");
    const config = readFileSync(join(own.store.path, "one/config"), "utf8");
    assert.match(config, /# Distribution configuration\n# For additional/);
    assert.match(config, /# Container specific configuration\nlxc.rootfs.path = \S+\n(?:.*\n)*lxc.uts.name = one\n/);
    assert.match(config, /# Template used to create this container: \/usr\/share\/lxc\/templates\/lxc-download/);

    const asked = server.requests.length;
    const second = await create("two");
    assert.equal(second.status, 0, second.stderr);
    assert.equal(server.requests.length, asked, "no request");
    assert.equal(readFileSync(join(own.store.path, "two/rootfs/etc/hostname"), "utf8"), "two\n");
    // And anew when that is asked for.
    assert.equal((await create("three", ["--keyring", here.key.keyring, "--flush-cache"])).status, 0);
    assert.ok(server.requests.length > asked);
  });

  it("is broken off by ^C without a container left, and goes on from there the next time", async (t) => {
    const here = await place(t);
    // Random, so that it is not packed to nothing.
    const big = packedTree((tree) => {
      execFileSync("sh", ["-c", `head -c 3000000 /dev/urandom >${tree}/noise && mkdir -p ${tree}/etc ${tree}/dev`]);
    });
    serveLxc(here, lxcMeta(), big);
    const { own, server } = here;
    const path = `/${directory}/rootfs.tar.xz`;
    server.misdeeds.set(path, [{ kind: "stall", after: 2_000_000 }]);
    const words = [
      "-t",
      "download",
      "--",
      "-d",
      "busybox",
      "-r",
      "1",
      "-a",
      "amd64",
      "--server",
      server.url,
      "--keyring",
      here.key.keyring,
    ];
    const child = spawn(programOf("lxc-create"), [...own.store.at("big"), ...words], {
      env: { ...process.env, ISLET_RUNTIME_DIR: own.runtimeDir },
      stdio: "ignore",
    });
    const ended = new Promise((resolve) => child.on("exit", resolve));
    const part = (): number => {
      const [file] = globbed(here.cache, /rootfs\.tar\.xz\.part$/);
      return file === undefined ? 0 : statSync(file).size;
    };
    await waitFor("half of it", () => part() >= 1_000_000);
    child.kill("SIGINT");
    await ended;
    await waitFor("the container to be gone", () => !existsSync(join(own.store.path, "big")));
    server.requests.length = 0;
    const again = await here.create("big");
    assert.equal(again.status, 0, again.stderr);
    const [asked] = server.requests.filter((request) => request.path === path);
    assert.match(asked?.range ?? "", /^bytes=[1-9]\d{4,}-$/);
    assert.equal(readFileSync(join(own.store.path, "big/rootfs/noise")).length, 3_000_000);
  });

  it("refuses what is not signed, signed by others, changed, or not there, each with words of its own", async (t) => {
    const here = await place(t);
    const { server, key, cache } = here;
    serveLxc(here);
    const keyring = ["--keyring", key.keyring];
    const root = server.files.get(`/${directory}/rootfs.tar.xz`) ?? Buffer.alloc(0);
    const sums = server.files.get(`/${directory}/SHA256SUMS`) ?? Buffer.alloc(0);
    const signature = server.files.get(`/${directory}/SHA256SUMS.asc`) ?? Buffer.alloc(0);

    await refused(here, /no key is known with which images of 127.0.0.1 are signed; --keyring FILE/, []);
    await refused(here, /there is no key file \/nowhere\/key.gpg/, ["--keyring", "/nowhere/key.gpg"]);
    assert.deepEqual(server.requests, [], "without a key nothing is asked");

    const stranger = signer(t, "stranger");
    server.files.set(`/${directory}/SHA256SUMS.asc`, stranger.detached(sums));
    await refused(here, new RegExp(`signed with the key ${stranger.fingerprint.slice(-16)}, which is not in`), keyring);
    server.files.set(`/${directory}/SHA256SUMS.asc`, key.detached("other sums"));
    await refused(here, /signature of SHA256SUMS of \S+ is wrong: this is not what was signed/, keyring);
    server.files.delete(`/${directory}/SHA256SUMS.asc`);
    await refused(here, /neither the index of \S+ nor the checksums of the image are signed/, keyring);
    server.files.set(`/${directory}/SHA256SUMS.asc`, signature);

    server.files.set(`/${directory}/rootfs.tar.xz`, Buffer.concat([root, Buffer.from("!")]));
    await refused(
      here,
      /the root file system of busybox 1 amd64 of \S+ is not what its index says: wrong checksum/,
      keyring,
    );
    server.files.delete(`/${directory}/rootfs.tar.xz`);
    await refused(here, /does not have the root file system of busybox 1 amd64/, keyring);
    server.files.set(`/${directory}/rootfs.tar.xz`, root);

    const many = Array.from({ length: 9 }, () => ({ kind: "cut", after: 3 }) as const);
    server.misdeeds.set("/meta/1.0/index-system", [...many]);
    await refused(here, /cannot reach 127.0.0.1:\d+: the connection|gave only/, keyring);
    server.misdeeds.clear();
    await refused(here, /cannot reach 127.0.0.1:1: connection refused/, ["--server", "http://127.0.0.1:1", ...keyring]);

    await refused(here, /has no images of debain; did you mean debian\?/, ["-d", "debain", ...keyring]);
    await refused(here, /has no images of debian bookwrm; did you mean bookworm\?/, [
      "-d",
      "debian",
      "-r",
      "bookwrm",
      ...keyring,
    ]);
    await refused(here, /has no images of busybox 1 for riscv64; there are amd64/, ["-a", "riscv64", ...keyring]);
    await refused(here, /of the variant cloud; .*there are default/, ["--variant", "cloud", ...keyring]);
    assert.deepEqual(
      readdirSync(cache).filter((name) => /rootfs|image/.test(name)),
      [],
      "no image was kept",
    );
  });

  it("takes what is not signed only when it is told so, and says that it does", async (t) => {
    const here = await place(t);
    serveLxc(here);
    here.server.files.delete(`/${directory}/SHA256SUMS.asc`);
    const made = await here.create("one", ["--no-validate"]);
    assert.equal(made.status, 0, made.stderr);
    assert.match(made.stderr, /taken without a signature/);
    // The checksum holds all the same.
    here.server.files.set(`/${directory}/rootfs.tar.xz`, Buffer.from("something else"));
    await refused(here, /wrong checksum/, ["--no-validate", "--flush-cache"], "two");
  });

  it("lists what there is as lxc-download does, and wants -d, -r and -a where nobody can be asked", async (t) => {
    const here = await place(t);
    serveLxc(here);
    const { own, server } = here;
    const words = ["--server", server.url, "--keyring", here.key.keyring];
    const listed = await own.command([
      "lxc-create",
      ...own.store.at("x"),
      "-t",
      "download",
      "--",
      "--list",
      "-d",
      "debian",
      ...words,
    ]);
    assert.equal(listed.status, 1);
    assert.match(
      listed.stdout,
      /^Downloading the image index\n\n---\nDIST\tRELEASE\tARCH\tVARIANT\tBUILD\n---\ndebian\tbookworm\tamd64\tdefault\t20240102_03:04\n---\n/,
    );
    const asked = await own.command(["lxc-create", ...own.store.at("x"), "-t", "download", "--", ...words]);
    assert.equal(asked.status, 1);
    assert.match(asked.stderr, /which distribution\? there is no -d, and nobody to ask; there are busybox, debian/);
    assert.ok(!existsSync(join(own.store.path, "x")));
  });

  it("takes images of a simplestreams server: signed within or beside, newest build, in LXD's form", async (t) => {
    const here = await place(t);
    const { own, server, key } = here;
    const old = busyboxRoot({ "etc/build": "old\n" });
    const root = busyboxRoot({ "etc/build": "new\n" });
    const meta = packedTree((tree) => {
      writeTree(tree, {
        "metadata.yaml": "architecture: x86_64\ncreation_date: 1700000000\nproperties:\n  os: busybox\n",
      });
    });
    const at = (build: string, file: string): string => `images/busybox/${build}/${file}`;
    const { index: text, products } = streams({
      os: "Busybox",
      release: "one",
      arch: "amd64",
      aliases: "1,default,lts",
      versions: {
        "20240102": [
          { ftype: "lxd.tar.xz", path: at("20240102", "lxd.tar.xz"), bytes: meta },
          { ftype: "root.tar.xz", path: at("20240102", "root.tar.xz"), bytes: old },
        ],
        "20240102.1": [
          { ftype: "lxd.tar.xz", path: at("20240102.1", "lxd.tar.xz"), bytes: meta },
          { ftype: "root.tar.xz", path: at("20240102.1", "root.tar.xz"), bytes: root },
        ],
        "20240103": [{ ftype: "disk-kvm.img", path: at("20240103", "disk.img"), bytes: meta }],
      },
    });
    for (const build of ["20240102", "20240102.1"]) server.files.set(`/${at(build, "lxd.tar.xz")}`, meta);
    server.files.set(`/${at("20240102.1", "root.tar.xz")}`, root);
    server.files.set("/streams/v1/index.sjson", key.inline(text));
    server.files.set("/streams/v1/images.json", Buffer.from(products));
    server.files.set("/streams/v1/images.json.gpg", key.detached(products));
    const made = await here.create("one");
    assert.equal(made.status, 0, made.stderr);
    assert.equal(readFileSync(join(own.store.path, "one/rootfs/etc/build"), "utf8"), "new\n");
    assert.match(readFileSync(join(own.store.path, "one/config"), "utf8"), /lxc.uts.name = one/);

    const keyring = ["--keyring", key.keyring, "--flush-cache"];
    server.files.set("/streams/v1/images.json", Buffer.from(products.replace("busybox:one", "busybox:two")));
    await refused(here, /signature of streams\/v1\/images.json of \S+ is wrong/, keyring);
    server.files.set("/streams/v1/images.json", Buffer.from("{ garbage"));
    server.files.delete("/streams/v1/images.json.gpg");
    await refused(here, /streams\/v1\/images.json of \S+ is not JSON; is this a simplestreams server\?/, keyring);
    server.files.set("/streams/v1/images.json", Buffer.alloc(40 << 20, " "));
    await refused(here, /is larger than the 32 MiB/, keyring);
    for (const path of ["../../etc/shadow", "/etc/shadow", "a/../../b", "http://127.0.0.1:1/x", "a//b", "a\\u0000b"]) {
      const evil = products.replaceAll(at("20240102.1", "root.tar.xz"), path);
      server.files.set("/streams/v1/images.json", Buffer.from(evil));
      server.files.set("/streams/v1/images.json.gpg", key.detached(evil));
      const said = await refused(here, /names a path that leads elsewhere|does not have|no root file system/, keyring);
      assert.ok(!said.includes("internal"), said);
    }
    assert.deepEqual(
      server.paths().filter((path) => /shadow|\.\./.test(path)),
      [],
    );
  });
});
