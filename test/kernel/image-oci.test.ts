import assert from "node:assert/strict";
import {
  mkdirSync,
  mkdtempSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { IsletError } from "../../src/base/errors.js";
import { applyLayer } from "../../src/image/oci.js";
import { imageServer, type ImageServer } from "../support/image-server.js";
import { instance, type Instance } from "../support/instance.js";
import { makeContext } from "../support/make-context.js";
import { testDir } from "../support/paths.js";
import { layerBlob, ociImage, serveRegistry, writeLayout, type MadeOci } from "../support/registry.js";
import { archive, type Member } from "../support/tar.js";
import { busyboxRoot } from "../support/test-image.js";

const directory = (name: string): Member => ({ name: `${name}/`, type: "5" });

/** busybox, and a layer that changes it. */
function image(config: object = {}, more: readonly Member[] = []): MadeOci {
  const root = layerBlob(
    busyboxRoot({ "etc/old": "old\n", "etc/conf.d/a": "a\n", "srv/data/x/y": "deep\n", "srv/keep": "kept\n" }, []),
  );
  const passwd = "root:x:0:0:root:/root:/bin/sh\napp:x:1234:2345::/srv:/bin/sh\n";
  const second = archive(
    directory("etc"),
    { name: "etc/passwd", data: passwd },
    { name: "etc/group", data: "root:x:0:\nwheel:x:77:app\n" },
    { name: "etc/.wh.old" },
    directory("etc/conf.d"),
    { name: "etc/conf.d/b", data: "b\n" },
    { name: "etc/conf.d/.wh..wh..opq" },
    { name: "srv/data", data: "a file now\n" },
    ...more,
  );
  const third = archive(
    { name: "srv/.wh.keep" },
    { name: "bin/report", mode: 0o755, data: '#!/bin/sh\nid -u; id -g; pwd; echo $COLOUR; echo "$@"\n' },
  );
  return ociImage([root, layerBlob(second), layerBlob(third)], {
    Env: ["PATH=/bin:/sbin", "COLOUR=dark blue"],
    ...config,
  });
}

const application = {
  Entrypoint: ["/bin/report", "one word"],
  Cmd: ["and", "'more'"],
  User: "app",
  WorkingDir: "/srv",
};

interface Place {
  readonly own: Instance;
  readonly server: ImageServer;
  readonly work: string;
  readonly create: (name: string, words: readonly string[]) => ReturnType<Instance["command"]>;
}

async function place(t: TestContext): Promise<Place> {
  const work = mkdtempSync(join(testDir, "oci-"));
  t.after(() => {
    rmSync(work, { recursive: true, force: true });
  });
  writeFileSync(join(work, "default.conf"), "lxc.net.0.type = empty\n");
  const own = await instance(t, { env: { ISLET_IMAGE_CACHE: join(work, "cache"), ISLET_DOWNLOAD_STALL: "2000" } });
  const server = await imageServer(t);
  return {
    own,
    server,
    work,
    create: (name, words) =>
      own.command(["lxc-create", ...own.store.at(name), "-f", join(work, "default.conf"), "-t", "oci", "--", ...words]),
  };
}

describe("lxc-create -t oci", () => {
  it("makes of a layout what lxc-execute runs: command, user, directory and environment of the image", async (t) => {
    const { own, work, create } = await place(t);
    writeLayout(join(work, "layout"), { app: image(application) });
    const made = await create("app", ["-u", `oci:${work}/layout:app`]);
    assert.equal(made.status, 0, made.stderr);
    const root = join(own.store.path, "app/rootfs");
    assert.ok(!existsSync(join(root, "etc/old")));
    assert.deepEqual(readdirSync(join(root, "etc/conf.d")), ["b"]);
    assert.equal(readFileSync(join(root, "srv/data"), "utf8"), "a file now\n");
    assert.deepEqual(readdirSync(join(root, "srv")), ["data"]);
    assert.equal(readFileSync(join(root, "etc/hostname"), "utf8"), "app\n");
    const config = readFileSync(join(own.store.path, "app/config"), "utf8");
    assert.match(config, /^lxc.execute.cmd = '\/bin\/report "one word" and "'more'"'$/m);
    assert.match(config, /^lxc.init.uid = 1234\nlxc.init.gid = 2345\nlxc.init.cwd = \/srv$/m);
    assert.match(config, /^lxc.environment = COLOUR=dark blue$/m);
    const ran = await own.command(["lxc-execute", ...own.store.at("app")]);
    assert.equal(ran.stdout, "1234\n2345\n/srv\ndark blue\none word and 'more'\n", ran.stderr);
  });

  it("pulls from a registry with a token, picks the architecture, and pulls no layer twice while the tag stays", async (t) => {
    const { own, server, create, work } = await place(t);
    const app = image({
      Entrypoint: ["/bin/sh", "-c", "trap 'exit 0' USR1; echo \"up\" >/tmp/up\nwhile :; do sleep 1; done"],
    });
    serveRegistry(server, "team/app", { latest: app }, { credentials: "me:secret" });
    const url = `docker://${server.host}/team/app`;
    const denied = await create("one", ["-u", url]);
    assert.equal(denied.status, 1);
    assert.match(denied.stderr, /wants to know who asks; give --username and --password/);
    const words = ["-u", url, "--username", "me", "--password", "secret"];
    const made = await create("one", words);
    assert.equal(made.status, 0, made.stderr);
    // Its command has both kinds of quotes and a line end.
    assert.match(readFileSync(join(own.store.path, "one/config"), "utf8"), /^lxc.init.cmd = '\/.islet-command'$/m);
    await own.ok(["lxc-start", ...own.store.at("one")]);
    const env = { PATH: "/bin:/sbin" };
    const script = "for i in 1 2 3 4 5 6 7 8 9; do [ -e /tmp/up ] && break; sleep 0.2; done; cat /tmp/up";
    assert.equal(await own.ok(["lxc-attach", ...own.store.at("one"), "--", "sh", "-c", script], { env }), "up\n");

    const isBlob = (path: string): boolean => path.includes("/blobs/");
    const before = server.paths().filter(isBlob).length;
    assert.equal((await create("two", words)).status, 0);
    assert.equal(server.paths().filter(isBlob).length, before, "what the tag means is at hand");
    assert.ok(!readdirSync(join(own.store.path, "two/rootfs/etc")).includes("old"));
    serveRegistry(
      server,
      "team/app",
      { latest: image({}, [{ name: "etc/new", data: "new\n" }]) },
      { credentials: "me:secret" },
    );
    assert.equal((await create("three", words)).status, 0);
    assert.equal(readFileSync(join(own.store.path, "three/rootfs/etc/new"), "utf8"), "new\n");
    for (const file of ["one/config", "../run/daemon.log"].map((name) => join(own.store.path, name)))
      assert.ok(!existsSync(file) || !readFileSync(file, "utf8").includes("secret"), file);
    assert.match(readFileSync(join(own.store.path, "one/config"), "utf8"), /--username me --password \*\*\*$/m);
    const records = readdirSync(join(work, "cache"), { recursive: true, encoding: "utf8" }).filter((name) =>
      name.endsWith("image.json"),
    );
    assert.ok(records.length > 0);
    for (const name of records) assert.ok(!readFileSync(join(work, "cache", name), "utf8").includes("secret"), name);
  });

  it("refuses what has not the digest, is for others, or is not there, each with words of its own", async (t) => {
    const { own, server, create, work } = await place(t);
    const app = image(application);
    serveRegistry(server, "app", { latest: app });
    const url = `docker://${server.host}/app`;
    const refused = async (words: RegExp, options: readonly string[]): Promise<void> => {
      const { status, stderr } = await create("bad", options);
      assert.equal(status, 1);
      assert.match(stderr, words);
      assert.ok(!existsSync(join(own.store.path, "bad")));
    };
    await refused(/has no image app:nothing/, ["-u", `${url}:nothing`]);
    await refused(/has no image for ppc64el; it has them for amd64, s390x/, ["-u", url, "-a", "ppc64el"]);
    await refused(/docker:\/\/UPPER is no OCI image: UPPER is no name of a repository/, ["-u", "docker://UPPER"]);
    await refused(/is no OCI image: it has no scheme/, ["-u", "/some/where"]);
    await refused(/cannot reach 127.0.0.1:1: connection refused/, ["-u", "docker://127.0.0.1:1/app"]);
    const layer = app.blobs.at(-1);
    assert.ok(layer !== undefined);
    const path = `/v2/app/blobs/${layer.digest}`;
    server.files.set(path, Buffer.concat([layer.bytes.subarray(0, -1), Buffer.from("x")]));
    await refused(/layer 3 of 3 of \S+ is not what its index says: wrong checksum/, ["-u", url]);
    server.files.set(path, layer.bytes);
    server.files.set(
      `/v2/app/manifests/${app.manifest.digest}`,
      Buffer.from(app.manifest.bytes.toString().replace("2", "3")),
    );
    await refused(/the manifest of \S+ is not what its digest says/, ["-u", url]);
    server.files.set(`/v2/app/manifests/latest`, Buffer.from("{}"));
    await refused(/is of a format that is too old|neither a manifest/, ["-u", url]);
    server.files.set(`/v2/app/manifests/latest`, Buffer.alloc(5 << 20, " "));
    await refused(/is larger than the 4.0 MiB/, ["-u", url]);

    await refused(/there is no the index of|there is no/, ["-u", `oci:${work}/nowhere:x`]);
    writeLayout(join(work, "layout"), { a: app, b: app });
    await refused(/has no image c; it has a, b/, ["-u", `oci:${work}/layout:c`]);
    await refused(/has several images; it has a, b/, ["-u", `oci:${work}/layout`]);
    writeLayout(join(work, "nobody"), { a: image({ User: "ghost" }) });
    await refused(/to run as the user ghost, which its \/etc\/passwd does not have/, ["-u", `oci:${work}/nobody:a`]);
  });
});

describe("layers", () => {
  async function layered(
    t: TestContext,
    members: readonly Member[],
    prepare: (root: string) => void,
  ): Promise<{ readonly root: string; readonly outside: string }> {
    const work = mkdtempSync(join(testDir, "layers-"));
    t.after(() => {
      rmSync(work, { recursive: true, force: true });
    });
    const [root, outside] = [join(work, "root"), join(work, "outside")];
    mkdirSync(root);
    mkdirSync(outside);
    writeFileSync(join(outside, "precious"), "stays\n");
    prepare(root);
    const file = join(work, "layer");
    writeFileSync(file, archive(...members));
    await applyLayer(file, root, true, "layer 2", makeContext(work));
    return { root, outside };
  }

  it("take away what those below have, and nothing of their own", async (t) => {
    const { root } = await layered(
      t,
      [
        { name: "own", data: "own\n" },
        { name: ".wh.own" },
        { name: ".wh.tree" },
        { name: "opaque/new", data: "new\n" },
        { name: "opaque/.wh..wh..opq" },
        { name: ".wh.never" },
        { name: ".wh..wh.plnk" },
        { name: "link", data: "a file\n" },
      ],
      (lower) => {
        writeFileSync(join(lower, "own"), "lower\n");
        mkdirSync(join(lower, "tree/of/some"), { recursive: true });
        writeFileSync(join(lower, "tree/of/some/depth"), "");
        mkdirSync(join(lower, "opaque/old"), { recursive: true });
        symlinkSync("own", join(lower, "link"));
      },
    );
    assert.deepEqual(readdirSync(root), ["link", "opaque", "own"]);
    assert.equal(readFileSync(join(root, "own"), "utf8"), "own\n");
    assert.deepEqual(readdirSync(join(root, "opaque")), ["new"]);
    assert.ok(lstatSync(join(root, "link")).isFile(), "a file in place of a link, not through it");
  });

  it("take nothing away outside of the root, whatever they and those below say", async (t) => {
    const links = (lower: string): void => {
      symlinkSync("../outside", join(lower, "up"));
      symlinkSync(join(lower, "../outside"), join(lower, "absolute"));
      mkdirSync(join(lower, "d"));
      symlinkSync("../../outside/precious", join(lower, "d/precious"));
    };
    const { root, outside } = await layered(
      t,
      [
        { name: "up/.wh.precious" },
        { name: "absolute/.wh.precious" },
        { name: "d/.wh.precious" },
        { name: ".wh.absolute" },
      ].slice(2),
      links,
    );
    assert.equal(readFileSync(join(outside, "precious"), "utf8"), "stays\n");
    assert.deepEqual(readdirSync(root).sort(), ["d", "up"]);
    assert.deepEqual(readdirSync(join(root, "d")), []);
    for (const name of ["up/.wh.precious", "absolute/.wh..wh..opq", "../.wh.outside", "/.wh.etc", ".wh...", ".wh."]) {
      let seen: { readonly outside: string } | null = null;
      try {
        seen = await layered(t, [{ name }], links);
      } catch (error) {
        assert.ok(error instanceof IsletError, String(error));
        assert.equal(error.code, "ISLET_UNTRUSTED", error.message);
      }
      if (seen !== null) assert.equal(readFileSync(join(seen.outside, "precious"), "utf8"), "stays\n");
    }
  });
});
