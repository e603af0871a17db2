import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { libvirtSettings, parseLibvirtSettings } from "../../../src/daemon/libvirt-sockets.js";
import { root } from "../../support/paths.js";

const parse = (text: string): ReturnType<typeof parseLibvirtSettings> => parseLibvirtSettings(text, "libvirt.conf");

describe("libvirt.conf", () => {
  it("has lines of a key and a path, of which the last one counts, and comments", () => {
    assert.deepEqual(parse("# where\n\n  sockets = /run/libvirt  \nstore=/srv/a\nstore = /srv/lxc b\n"), {
      sockets: "/run/libvirt",
      store: "/srv/lxc b",
    });
    assert.deepEqual(parse(""), {});
  });

  it("is refused with the line of what is none", () => {
    const code = "ISLET_BAD_CONFIG";
    assert.throws(() => parse("\nsocket = /run"), {
      code,
      message: 'libvirt.conf:2: "socket = /run" is no setting: there are sockets, store, hooks and logs',
    });
    assert.throws(() => parse("sockets"), { code, message: /^libvirt\.conf:1: "sockets" is no setting/ });
    assert.throws(() => parse("store = srv"), { code, message: "libvirt.conf:1: store = srv is no absolute path" });
    assert.throws(() => parse("store ="), { code, message: /is no absolute path$/ });
  });

  it("is not for a daemon with a place of its own, which has variables", () => {
    const none = { sockets: null, store: null, hooks: null, logs: null, lxcConf: null };
    assert.deepEqual(libvirtSettings("/tmp/run", {}), none);
    assert.deepEqual(libvirtSettings("/tmp/run", { ISLET_LIBVIRT_STORE: "/srv" }), {
      ...none,
      store: "/srv",
    });
    assert.deepEqual(libvirtSettings("/tmp/run", { ISLET_LIBVIRT_LOGS: "/srv/log" }), { ...none, logs: "/srv/log" });
  });

  it("has a page that names each key", () => {
    const page = readFileSync(join(root, "share/man/man5/islet-libvirt.conf.5"), "utf8");
    const keys = [...page.matchAll(/^\.TP\n\\fB(\w+)\\fR$/gm)].map(([, key = ""]) => key);
    for (const key of keys) assert.deepEqual(parse(`${key} = /x`), { [key]: "/x" });
    assert.throws(() => parse("none = /x"), {
      message: new RegExp(`there are ${keys.slice(0, -1).join(", ")} and ${keys.at(-1)}$`),
    });
  });
});
