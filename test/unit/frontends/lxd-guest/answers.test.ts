import assert from "node:assert/strict";
import { hostname } from "node:os";
import { describe, it } from "node:test";
import { IsletError } from "../../../../src/base/errors.js";
import { cannedGuest, exchange } from "./door.js";

const guest = cannedGuest({
  "user.foo": "bar",
  "user.meta-data": "extra-key: extra-val",
  "cloud-init.user-data": "#cloud-config\nwrite_files:\n- path: /etc/islet-ud\n  content: hello",
  "user.empty": "",
  "user.ü%": "ö",
});

const lines = (...all: readonly string[]): string => all.map((line) => `${line}\r\n`).join("");
const json = (body: string): string =>
  `${lines("HTTP/1.1 200 OK", "Content-Type: application/json", "Date: D", `Content-Length: ${Buffer.byteLength(body) + 1}`, "")}${body}\n`;
const raw = (body: string): string =>
  `${lines("HTTP/1.1 200 OK", "Content-Type: application/octet-stream", "Date: D", `Content-Length: ${Buffer.byteLength(body)}`, "")}${body}`;
const failure = (status: string, body: string): string =>
  `${lines(
    `HTTP/1.1 ${status}`,
    "Content-Type: text/plain; charset=utf-8",
    "X-Content-Type-Options: nosniff",
    "Date: D",
    `Content-Length: ${Buffer.byteLength(body) + 1}`,
    "",
  )}${body}\n`;
const mainFailure = (status: string, body: string): string =>
  failure(status, body).replace("text/plain; charset=utf-8", "application/json");

/** What real LXD sends (5.0.2 as captured; the newest where that is another), byte for byte. */
const exchanges: readonly (readonly [request: string, answer: string])[] = [
  ["GET /", json('["/1.0"]')],
  [
    "GET /1.0",
    json(
      `{"state":"Started","api_version":"1.0","auth":"untrusted","instance_type":"container","location":"${hostname()}","supported_storage_drivers":[]}`,
    ),
  ],
  ["GET /1.0/", failure("404 Not Found", "404 page not found")],
  [
    "GET /1.0/config",
    json(
      '["/1.0/config/cloud-init.user-data","/1.0/config/user.foo","/1.0/config/user.meta-data","/1.0/config/user.%C3%BC%25"]',
    ),
  ],
  [
    "GET /1.0/config?x=1",
    json(
      '["/1.0/config/cloud-init.user-data","/1.0/config/user.foo","/1.0/config/user.meta-data","/1.0/config/user.%C3%BC%25"]',
    ),
  ],
  ["GET /1.0/config/", failure("404 Not Found", "404 page not found")],
  ["GET /1.0/config/user.foo", raw("bar")],
  ["GET /1.0/config/user%2Efoo", raw("bar")],
  ["GET /1.0/config/user.empty", failure("404 Not Found", "not found")],
  ["GET /1.0/config/user.nope", failure("404 Not Found", "not found")],
  ["GET /1.0/config/limits.memory", failure("403 Forbidden", "Forbidden")],
  ["GET /1.0/config/volatile.eth0.hwaddr", failure("403 Forbidden", "Forbidden")],
  ["GET /1.0/config/security.devlxd", failure("403 Forbidden", "Forbidden")],
  ["GET /1.0/config/__proto__", failure("403 Forbidden", "Forbidden")],
  ["GET /1.0/config/cloud-init.user-data", raw("#cloud-config\nwrite_files:\n- path: /etc/islet-ud\n  content: hello")],
  [
    "GET /1.0/meta-data",
    raw("instance-id: 1395c13c-08c8-4b5d-aa82-2aad37f17c90\nlocal-hostname: d1\nextra-key: extra-val"),
  ],
  [
    "GET /1.0/devices",
    json(
      '{"eth0":{"hwaddr":"00:16:3e:e4:de:f9","name":"eth0","network":"lxdbr0","type":"nic"},"root":{"path":"/","pool":"default","type":"disk"}}',
    ),
  ],
  [
    "GET /1.0/images/abc/export",
    mainFailure(
      "403 Forbidden",
      '{"type":"error","status":"","status_code":0,"operation":"","error_code":403,"error":"Forbidden","metadata":null}',
    ),
  ],
  ["GET /1.0/ubuntu-pro", json('{"guest_attach":"off"}')],
  ["POST /1.0/ubuntu-pro/token", failure("403 Forbidden", "Forbidden")],
  ["GET /1.0/instances/d1", failure("404 Not Found", "404 page not found")],
  ["GET /nope", failure("404 Not Found", "404 page not found")],
  ["GET /2.0", failure("404 Not Found", "404 page not found")],
  ["DELETE /1.0", failure("501 Not Implemented", "not implemented")],
  ["PUT /1.0", failure("501 Not Implemented", "not implemented")],
  ["POST /1.0/config", failure("501 Not Implemented", "not implemented")],
  ["OPTIONS /1.0", failure("501 Not Implemented", "not implemented")],
  ["HEAD /1.0/meta-data", failure("501 Not Implemented", "not implemented").replace(/\r\n\r\n[^]*/, "\r\n\r\n")],
  ["GET //1.0", lines("HTTP/1.1 301 Moved Permanently", "Location: /1.0", "Date: D", "Content-Length: 0", "")],
  [
    "GET /1.0/../1.0/config?a=b",
    lines("HTTP/1.1 301 Moved Permanently", "Location: /1.0/config?a=b", "Date: D", "Content-Length: 0", ""),
  ],
  ["GET http://lxd/1.0/config/user.foo", raw("bar")],
  ["GET /1.0/config/%zz", failure("400 Bad Request", "400 Bad Request")],
  ["GET /1.0/events?type=config,nope", failure("400 Bad Request", '"nope" isn\'t a supported event type')],
];

/** Two requests on one connection: the first answer is looked at, the second ends it. */
async function answerTo(
  request: string,
  caller: "root" | "user" | "stranger" = "root",
  body: string = "",
): Promise<string> {
  const length = body === "" ? "" : `Content-Length: ${Buffer.byteLength(body)}\r\n`;
  const last = "GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  const all = await exchange(guest, `${request} HTTP/1.1\r\nHost: lxd\r\n${length}\r\n${body}${last}`, caller);
  const end = all.lastIndexOf("HTTP/1.1 404");
  assert.match(all.slice(end), /Connection: close/);
  return Buffer.from(all.slice(0, end), "latin1").toString();
}

describe("answers to a guest", () => {
  for (const [request, expected] of exchanges) {
    it(`${request} is answered as LXD does it, byte for byte`, async () => {
      assert.equal(await answerTo(request), expected);
    });
  }

  it("a guest that asks with HTTP/1.0 or without keeping the connection gets it closed", async () => {
    assert.match(
      await exchange(guest, "GET /1.0/config/user.foo HTTP/1.0\r\n\r\n"),
      /^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\nbar$/,
    );
  });

  it("says first whether it may ask at all: 500 for a process of nobody's, 401 for a user, but 404 for what there is not", async () => {
    assert.equal(
      await answerTo("GET /1.0", "stranger"),
      failure("500 Internal Server Error", "Process ID not found in container"),
    );
    assert.equal(
      await answerTo("DELETE /1.0/config/user.foo", "user"),
      failure("401 Unauthorized", "Access denied for non-root user"),
    );
    assert.equal(await answerTo("GET /nope", "stranger"), failure("404 Not Found", "404 page not found"));
  });

  it("the state is Ready or Started, spelled like that", async () => {
    const patch = (body: string): Promise<string> => answerTo("PATCH /1.0", "root", body);
    assert.equal(await patch('{"state":"Ready"}'), raw(""));
    assert.equal(guest.ready(), true);
    assert.match(await answerTo("GET /1.0"), /"state":"Ready"/);
    assert.equal(await patch('{"state":"Bogus"}'), failure("400 Bad Request", 'Invalid state "Bogus"'));
    assert.equal(await patch('{"state":"ready"}'), failure("400 Bad Request", 'Invalid state "ready"'));
    assert.equal(await patch("{}"), failure("400 Bad Request", 'Invalid state ""'));
    assert.match(await patch("{bad"), /^HTTP\/1\.1 400 /);
    assert.match(await patch("[]"), /^HTTP\/1\.1 400 /);
    assert.match(await patch('{"state":1}'), /^HTTP\/1\.1 400 /);
    assert.equal(guest.ready(), true);
    assert.equal(await patch('{"state":"Started"}'), raw(""));
    assert.equal(guest.ready(), false);
  });

  it("switched off, every endpoint is 403", async () => {
    guest.settingsNow = { ...guest.settingsNow, "security.devlxd": "false" };
    for (const path of [
      "/",
      "/1.0",
      "/1.0/config",
      "/1.0/config/user.foo",
      "/1.0/meta-data",
      "/1.0/devices",
      "/1.0/events",
      "/1.0/ubuntu-pro",
    ])
      assert.equal(await answerTo(`GET ${path}`), failure("403 Forbidden", "Forbidden"), path);
    guest.settingsNow["security.devlxd"] = "true";
    assert.equal(await answerTo("GET /"), json('["/1.0"]'));
  });

  it("images are not there, in the main API's words, where a guest may ask for them", async () => {
    guest.settingsNow["security.devlxd.images"] = "true";
    assert.equal(
      await answerTo("GET /1.0/images/7672cba752ab/export"),
      mainFailure(
        "404 Not Found",
        '{"type":"error","status":"","status_code":0,"operation":"","error_code":404,"error":"Image \\"7672cba752ab\\" not found","metadata":null}',
      ),
    );
  });

  it("settings that cannot be read are 500, without a path of the host", async () => {
    const broken = {
      ...cannedGuest({}),
      settings: () => {
        throw new IsletError("ISLET_BAD_CONFIG", "/srv/x is broken");
      },
    };
    const answer = await exchange(broken, "GET /1.0/config HTTP/1.0\r\n\r\n");
    assert.match(answer, /^HTTP\/1\.1 500 /);
    assert.ok(!answer.includes("/srv"));
  });

  it("keys for SSH are not listed, but are part of the cloud-config", async () => {
    const keys = { "cloud-init.ssh-keys.a": "root:ssh-ed25519 AAAA a@b", "cloud-init.ssh-keys.b": "joe:gh:joe" };
    const users =
      'users:\n- default\n- name: "root"\n  ssh_authorized_keys:\n  - "ssh-ed25519 AAAA a@b"\n- name: "joe"\n  ssh_import_id:\n  - "gh:joe"\n';
    const get = async (settings: Record<string, string>, path: string): Promise<string> =>
      (await exchange(cannedGuest(settings), `GET ${path} HTTP/1.0\r\n\r\n`)).replace(/^[^]*?\r\n\r\n/, "");
    assert.equal(
      await get(keys, "/1.0/config"),
      '["/1.0/config/cloud-init.vendor-data","/1.0/config/user.vendor-data"]\n',
    );
    assert.equal(await get(keys, "/1.0/config/cloud-init.vendor-data"), `#cloud-config\n${users}`);
    assert.equal(await get(keys, "/1.0/config/user.vendor-data"), `#cloud-config\n${users}`);
    assert.equal(await get(keys, "/1.0/config/cloud-init.ssh-keys.a"), "not found\n");
    const given = { ...keys, "cloud-init.user-data": "#cloud-config\na: 1" };
    assert.equal(await get(given, "/1.0/config"), '["/1.0/config/cloud-init.user-data"]\n');
    assert.equal(await get(given, "/1.0/config/cloud-init.user-data"), `#cloud-config\na: 1\n${users}`);
    const script = { ...keys, "cloud-init.user-data": "#!/bin/sh\n" };
    assert.equal(await get(script, "/1.0/config/cloud-init.user-data"), "#!/bin/sh\n");
    const own = { ...keys, "user.user-data": "#cloud-config\nusers:\n- name: me\n" };
    assert.equal(await get(own, "/1.0/config/user.user-data"), "#cloud-config\nusers:\n- name: me\n");
  });
});
