import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { connect, type AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { IsletError } from "../../src/base/errors.js";
import { fetchBytes } from "../../src/image/answers.js";
import { download, type Download } from "../../src/image/download.js";
import { type FetchContext, withHttp } from "../../src/image/http.js";
import { imageServer, sha256, type ImageServer } from "../support/image-server.js";
import { testDir } from "../support/paths.js";
import { waitFor } from "../support/wait.js";

process.env["ISLET_DOWNLOAD_STALL"] = "400";

const context = (own: Partial<FetchContext> = {}): FetchContext => ({
  environment: {},
  progress: () => undefined,
  signal: new AbortController().signal,
  ...own,
});

interface Place {
  readonly server: ImageServer;
  readonly directory: string;
  readonly bytes: Buffer;
  readonly wanted: (own?: Partial<Download>) => Download;
  readonly get: (
    own?: Partial<Download>,
    with_?: Partial<FetchContext>,
  ) => Promise<Awaited<ReturnType<typeof download>>>;
}

/** A server with one file of 3 MiB. */
async function place(t: TestContext): Promise<Place> {
  const server = await imageServer(t);
  const directory = mkdtempSync(join(testDir, "download-"));
  t.after(() => {
    rmSync(directory, { recursive: true });
  });
  const bytes = randomBytes(3 << 20);
  server.files.set("/root.tar", bytes);
  const wanted = (own: Partial<Download> = {}): Download => ({
    url: new URL("/root.tar", server.url),
    file: join(directory, "root.tar"),
    what: "the root",
    sha256: sha256(bytes),
    size: null,
    limit: 1 << 30,
    ...own,
  });
  return {
    server,
    directory,
    bytes,
    wanted,
    get: (own, with_) => withHttp(context(with_), (http) => download(wanted(own), http)),
  };
}

async function refused(body: Promise<unknown>, code: string, words: RegExp): Promise<IsletError> {
  let seen: unknown = null;
  await assert.rejects(body, (error) => {
    seen = error;
    return true;
  });
  assert.ok(seen instanceof IsletError, String(seen));
  assert.match(seen.message, words);
  assert.equal(seen.code, code);
  return seen;
}

describe("a download", () => {
  it("is in its place when it is whole, with nothing beside it, and is not fetched again", async (t) => {
    const { server, directory, bytes, get } = await place(t);
    const shown: string[] = [];
    const result = await get({ size: bytes.length }, { progress: (text) => void shown.push(text) });
    assert.deepEqual(result, { bytes: bytes.length, sha256: sha256(bytes) });
    assert.deepEqual(readdirSync(directory), ["root.tar"]);
    assert.match(shown[0] ?? "", /^downloading \d\.\d of 3\.0 MiB$/);
    await get();
    assert.equal(server.requests.length, 1);
  });

  it("that is cut off goes on from there, at once and at the next try", async (t) => {
    const { server, bytes, directory, get } = await place(t);
    const half = bytes.length / 2;
    server.misdeeds.set("/root.tar", [{ kind: "cut", after: half }]);
    await get();
    assert.deepEqual(readFileSync(join(directory, "root.tar")), bytes);
    assert.equal(server.requests.length, 2);
    const range = server.requests[1]?.range ?? "";
    assert.match(range, /^bytes=\d+-$/);
    assert.ok(Number(range.slice(6, -1)) > 0);
    assert.ok((server.sent.get("/root.tar") ?? 0) < bytes.length * 1.6, "the rest alone");

    rmSync(join(directory, "root.tar"));
    const cuts = Array.from({ length: 4 }, () => ({ kind: "cut", after: 200_000 }) as const);
    server.misdeeds.set("/root.tar", cuts);
    await refused(get(), "ISLET_NETWORK", /connection ended too early|only \d+ of|broken off/);
    const { size } = statSync(join(directory, "root.tar.part"));
    assert.ok(size > 300_000 && size < bytes.length, `${size}`);
    server.requests.length = 0;
    await get();
    assert.deepEqual(
      server.requests.map(({ range: asked }) => asked),
      [`bytes=${size}-`],
    );
    assert.deepEqual(readFileSync(join(directory, "root.tar")), bytes);
  });

  it("of a server that knows no ranges, or has another file by now, begins anew", async (t) => {
    const { server, bytes, directory, get } = await place(t);
    server.isSimple = true;
    server.misdeeds.set("/root.tar", [{ kind: "cut", after: 1 << 20 }]);
    await get();
    assert.deepEqual(readFileSync(join(directory, "root.tar")), bytes);

    rmSync(join(directory, "root.tar"));
    server.isSimple = false;
    writeFileSync(join(directory, "root.tar.part"), "what was there yesterday");
    writeFileSync(join(directory, "root.tar.part.from"), `${server.url}/root.tar\n"yesterday"\n`);
    await get();
    assert.deepEqual(readFileSync(join(directory, "root.tar")), bytes);
    // Without a tag to tell by, the checksum does.
    rmSync(join(directory, "root.tar"));
    writeFileSync(join(directory, "root.tar.part"), "what was there yesterday");
    writeFileSync(join(directory, "root.tar.part.from"), `${server.url}/root.tar\n\n`);
    await get();
    assert.deepEqual(readFileSync(join(directory, "root.tar")), bytes);
  });

  it("with a wrong checksum or size is refused, and nothing of it is kept", async (t) => {
    const { server, directory, get } = await place(t);
    await refused(get({ sha256: "0".repeat(64) }), "ISLET_UNTRUSTED", /wrong checksum/);
    await refused(get({ size: 7 }), "ISLET_UNTRUSTED", /bytes, not the 7 of its index/);
    assert.deepEqual(readdirSync(directory), []);
    assert.equal(server.requests.length, 2, "tried once each");
  });

  it("that is larger than it may be is broken off, whatever the server says of its size", async (t) => {
    const { server, get } = await place(t);
    await refused(get({ limit: 1 << 20 }), "ISLET_UNTRUSTED", /larger than the 1.0 MiB/);
    server.handle = (_request, response) => {
      response.writeHead(200);
      const more = (): void => {
        if (!response.destroyed) response.write(Buffer.alloc(1 << 16), more);
      };
      more();
      return true;
    };
    await refused(get({ limit: 1 << 20 }), "ISLET_UNTRUSTED", /larger than the 1.0 MiB/);
    const url = new URL("/index.json", server.url);
    const small = withHttp(context(), (http) => fetchBytes(url, "the index", 1 << 20, http));
    await refused(small, "ISLET_UNTRUSTED", /the index is larger/);
  });

  it("that stalls is given up, and said to stall", async (t) => {
    const { server, get } = await place(t);
    server.misdeeds.set(
      "/root.tar",
      Array.from({ length: 8 }, () => ({ kind: "stall", after: 1000 }) as const),
    );
    const error = await refused(get(), "ISLET_NETWORK", /it stalls: nothing more comes/);
    assert.match(error.message, new RegExp(server.host));
  });

  it("that is not there is ISLET_NOT_FOUND, and a server's fault is tried again", async (t) => {
    const { server, get } = await place(t);
    await refused(get({ url: new URL("/other", server.url) }), "ISLET_NOT_FOUND", /does not have the root: \/other/);
    server.misdeeds.set("/root.tar", [{ kind: "status", status: 503 }]);
    await get();
    server.misdeeds.set("/root.tar", [{ kind: "status", status: 403 }]);
    await refused(get({ sha256: "2".repeat(64) }), "ISLET_NETWORK", /does not give the root: HTTP status 403/);
  });

  it("that nobody waits for any more ends with what was said, and keeps its part", async (t) => {
    const { server, directory, get } = await place(t);
    server.misdeeds.set("/root.tar", [{ kind: "stall", after: 500_000 }]);
    const abort = new AbortController();
    const going = get({}, { signal: abort.signal });
    going.catch(() => undefined);
    await waitFor(
      "some of it",
      () => existsSync(join(directory, "root.tar.part")) && statSync(join(directory, "root.tar.part")).size > 0,
    );
    abort.abort(new Error("the client went away"));
    await assert.rejects(going, /the client went away/);
    assert.ok(statSync(join(directory, "root.tar.part")).size > 0);
  });

  it("follows redirects, but not for ever and never away from TLS or to files", async (t) => {
    const { server, get } = await place(t);
    server.misdeeds.set("/old", [{ kind: "redirect", to: "/root.tar" }]);
    await get({ url: new URL("/old", server.url) });
    server.misdeeds.set(
      "/loop",
      Array.from({ length: 20 }, () => ({ kind: "redirect", to: "/loop" }) as const),
    );
    await refused(
      get({ url: new URL("/loop", server.url), sha256: null }),
      "ISLET_NETWORK",
      /redirects more than 5 times/,
    );
    server.misdeeds.set("/file", [{ kind: "redirect", to: "file:///etc/shadow" }]);
    await refused(
      get({ url: new URL("/file", server.url), sha256: null }),
      "ISLET_NETWORK",
      /from http to file: not followed/,
    );
  });

  it("of a mirror on the disk is copied and checked alike", async (t) => {
    const { server, directory, bytes, get } = await place(t);
    writeFileSync(join(directory, "mirror"), bytes);
    await get({ url: new URL(`file://${directory}/mirror`) });
    assert.deepEqual(readFileSync(join(directory, "root.tar")), bytes);
    const changed = get({ url: new URL(`file://${directory}/mirror`), sha256: "1".repeat(64) });
    await refused(changed, "ISLET_UNTRUSTED", /wrong checksum/);
    await refused(
      get({ url: new URL("file:///nowhere/x"), sha256: null }),
      "ISLET_NOT_FOUND",
      /there is no the root|there is no/,
    );
    assert.equal(server.requests.length, 0);
  });
});

describe("a server that cannot be reached", () => {
  it("is named, with the reason in words and what to do", async (t) => {
    const { get, directory } = await place(t);
    const error = await refused(
      get({ url: new URL("http://127.0.0.1:1/x") }),
      "ISLET_NETWORK",
      /cannot reach 127.0.0.1:1: connection refused/,
    );
    assert.match(error.hint ?? "", /--server/);
    await refused(
      get({ url: new URL("http://no-such-host.invalid/x") }),
      "ISLET_NETWORK",
      /no-such-host.invalid: its name cannot be resolved/,
    );
    assert.ok(!existsSync(join(directory, "root.tar")));
  });

  it("may be so because of its certificate, which the caller can trust; and TLS is never left for less", async (t) => {
    const { server, get, directory } = await place(t);
    await refused(get({ url: new URL(`https://${server.host}/x`) }), "ISLET_NETWORK", /cannot reach 127.0.0.1:\d+: ./);
    const [key, certificate] = [join(directory, "key.pem"), join(directory, "certificate.pem")];
    const words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    const names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
    execFileSync("openssl", [...words, ...names, "-keyout", key, "-out", certificate], { stdio: "ignore" });
    const secure = createSecureServer(
      { key: readFileSync(key), cert: readFileSync(certificate) },
      (request, response) => {
        if (request.url === "/away") response.writeHead(302, { location: `${server.url}/root.tar` }).end();
        else response.end("by TLS");
      },
    );
    await new Promise<void>((resolve) => secure.listen(0, "127.0.0.1", resolve));
    t.after(() => {
      secure.closeAllConnections();
      secure.close();
    });
    const url = (path: string): URL => new URL(path, `https://127.0.0.1:${(secure.address() as AddressInfo).port}`);
    await refused(get({ url: url("/x") }), "ISLET_NETWORK", /its TLS certificate is signed by itself alone/);
    const environment = { SSL_CERT_FILE: certificate };
    await get({ url: url("/x"), sha256: sha256("by TLS") }, { environment });
    await refused(
      get({ url: url("/away") }, { environment }),
      "ISLET_NETWORK",
      /redirects from https to http: not followed/,
    );
  });

  it("is asked through the caller's proxy, except where the caller says no", async (t) => {
    const { server, get, directory } = await place(t);
    const seen: string[] = [];
    const proxy = createServer((request, response) => {
      seen.push(`${request.url ?? ""} ${request.headers["proxy-authorization"] ?? ""}`);
      response.writeHead(200).end("from the proxy");
    });
    proxy.on("connect", (request, socket) => {
      seen.push(`CONNECT ${request.url ?? ""}`);
      const [host = "", port = ""] = (request.url ?? "").split(":");
      const up = connect(Number(port), host, () => {
        socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
        up.pipe(socket).pipe(up);
      });
      up.on("error", () => socket.destroy());
      socket.on("error", () => up.destroy());
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    t.after(() => {
      proxy.closeAllConnections();
      proxy.close();
    });
    const { port } = proxy.address() as AddressInfo;
    const environment = { http_proxy: `http://me:secret@127.0.0.1:${port}`, https_proxy: `127.0.0.1:${port}` };
    await get({ sha256: null }, { environment });
    assert.equal(readFileSync(join(directory, "root.tar"), "utf8"), "from the proxy");
    const basic = Buffer.from("me:secret").toString("base64");
    assert.deepEqual(seen, [`${server.url}/root.tar Basic ${basic}`]);
    assert.equal(server.requests.length, 0);
    await refused(
      get({ url: new URL(`https://${server.host}/x`) }, { environment }),
      "ISLET_NETWORK",
      /through the proxy/,
    );
    assert.equal(seen[1], `CONNECT ${server.host}`);
    await get({}, { environment: { ...environment, no_proxy: "example.org,127.0.0.1" } });
    assert.equal(server.requests.length, 1);
  });
});
