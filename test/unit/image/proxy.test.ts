import assert from "node:assert/strict";
import { it } from "node:test";
import { proxyFor } from "../../../src/image/proxy.js";

const proxy = (url: string, environment: Readonly<Record<string, string>>): string | null =>
  proxyFor(new URL(url), environment)?.href ?? null;

it("a proxy is that of the address's scheme, in either spelling, but HTTP_PROXY is nobody's", () => {
  const environment = { http_proxy: "http://one:3128", HTTPS_PROXY: "two:8080", all_proxy: "http://three" };
  assert.equal(proxy("http://example.org/x", environment), "http://one:3128/");
  assert.equal(proxy("https://example.org/x", environment), "http://two:8080/");
  assert.equal(proxy("https://example.org/x", { all_proxy: "http://three" }), "http://three/");
  assert.equal(proxy("http://example.org/x", { HTTP_PROXY: "http://evil" }), null);
  assert.equal(proxy("http://example.org/x", { http_proxy: "socks5://x" }), null);
  assert.equal(proxy("http://example.org/x", { http_proxy: "" }), null);
});

it("no_proxy exempts names with what is below them, addresses and ports", () => {
  const asked = (url: string, list: string): boolean => proxy(url, { http_proxy: "http://p", no_proxy: list }) === null;
  assert.ok(asked("http://example.org/", "example.org"));
  assert.ok(asked("http://a.example.org/", ".example.org, other"));
  assert.ok(asked("http://a.example.org/", "*.example.org"));
  assert.ok(!asked("http://badexample.org/", "example.org"));
  assert.ok(asked("http://10.0.0.1:81/", "10.0.0.1:81"));
  assert.ok(!asked("http://10.0.0.1:82/", "10.0.0.1:81"));
  assert.ok(asked("http://[::1]/", "[::1]"));
  assert.ok(asked("http://[::1]/", "::1"));
  assert.ok(asked("http://anything/", "*"));
  assert.ok(!asked("http://anything/", ""));
});
