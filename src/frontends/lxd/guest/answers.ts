import { IsletError } from "../../../base/errors.js";
import { sortedByKey } from "../../../base/records.js";
import type { GuestCaller, GuestEvent, GuestView } from "../../../engine/engine.js";
import { hasApi, hasImages, isGuestKey, type Settings, sshKeysPrefix } from "../../../spec/settings.js";
import { isMergeable, withSshKeys } from "./ssh-keys.js";

/** What each request of a guest is answered: LXD's API for guests ("Communication between instance and host"), without any I/O. */

export interface Answer {
  readonly kind: "answer";
  readonly status: number;
  /** In the order in which they are sent; Date and Content-Length follow. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: string;
}

/** The request wants events, of these types, from now on. */
export interface EventStream {
  readonly kind: "events";
  readonly types: ReadonlySet<EventType>;
}

export const eventTypes = ["config", "device"] as const;
export type EventType = (typeof eventTypes)[number];

export interface GuestRequest {
  readonly method: string;
  /** As it stands in the request line. */
  readonly target: string;
  readonly body: string;
}

const noSniff = ["X-Content-Type-Options", "nosniff"] as const;

const json = (value: unknown): Answer => ({
  kind: "answer",
  status: 200,
  headers: [["Content-Type", "application/json"]],
  body: `${JSON.stringify(value)}\n`,
});

const raw = (body: string): Answer => ({
  kind: "answer",
  status: 200,
  headers: [["Content-Type", "application/octet-stream"]],
  body,
});

export const failure = (status: number, message: string): Answer => ({
  kind: "answer",
  status,
  headers: [["Content-Type", "text/plain; charset=utf-8"], noSniff],
  body: `${message}\n`,
});

/** The main API's form of an error, which image exports have. */
const mainFailure = (code: number, message: string): Answer => ({
  kind: "answer",
  status: code,
  headers: [["Content-Type", "application/json"], noSniff],
  body: `${JSON.stringify({
    type: "error",
    status: "",
    status_code: 0,
    operation: "",
    error_code: code,
    error: message,
    metadata: null,
  })}\n`,
});

const pageNotFound = failure(404, "404 page not found");
const notFound = failure(404, "not found");
const forbidden = failure(403, "Forbidden");
const noMethod = failure(501, "not implemented");
const badRequest = (why: string): Answer => failure(400, why);

type Handle = (request: Parsed, guest: GuestView, settings: Settings, hostName: string) => Answer | EventStream;

interface Parsed {
  /** What the path leaves open. */
  readonly rest: string;
  readonly query: URLSearchParams;
  readonly body: string;
}

interface Endpoint {
  /** `*` is one segment. */
  readonly path: readonly string[];
  readonly methods: Readonly<Record<string, Handle>>;
}

const endpoint = (path: string, methods: Endpoint["methods"]): Endpoint => ({
  path: path.split("/").slice(1),
  methods,
});

const endpoints: readonly Endpoint[] = [
  endpoint("/", { GET: () => json(["/1.0"]) }),
  endpoint("/1.0", {
    GET: (_, guest, _settings, hostName) =>
      json({
        state: guest.ready() ? "Ready" : "Started",
        api_version: "1.0",
        auth: "untrusted",
        instance_type: "container",
        location: hostName,
        supported_storage_drivers: [],
      }),
    PATCH: ({ body }, guest) => patchState(body, guest),
  }),
  endpoint("/1.0/config", {
    GET: (_, _guest, settings) => json(listed(settings).map((key) => `/1.0/config/${encodeURIComponent(key)}`)),
  }),
  endpoint("/1.0/config/*", { GET: ({ rest }, _guest, settings) => oneSetting(rest, settings) }),
  endpoint("/1.0/meta-data", {
    GET: (_, guest, settings) =>
      raw(`instance-id: ${guest.instanceId()}\nlocal-hostname: ${guest.name}\n${settings["user.meta-data"] ?? ""}`),
  }),
  endpoint("/1.0/devices", {
    GET: (_, guest) =>
      json(Object.fromEntries(Object.entries(guest.devices()).map(([name, device]) => [name, sortedByKey(device)]))),
  }),
  endpoint("/1.0/events", { GET: ({ query }) => events(query) }),
  endpoint("/1.0/images/*/export", {
    GET: ({ rest }, _guest, settings) =>
      hasImages(settings) ? mainFailure(404, `Image "${rest}" not found`) : mainFailure(403, "Forbidden"),
  }),
  endpoint("/1.0/ubuntu-pro", { GET: () => json({ guest_attach: "off" }) }),
  endpoint("/1.0/ubuntu-pro/token", { POST: () => forbidden }),
];

/** What the socket and the process at its other end decide comes before what is asked for. */
export function answer(
  request: GuestRequest,
  caller: GuestCaller,
  guest: GuestView,
  hostName: string,
): Answer | EventStream {
  const target = parseTarget(request.target);
  if (target === null) return badRequest("400 Bad Request");
  const clean = cleanPath(target.path);
  if (clean !== target.path) return moved(clean, target.query);
  const segments = clean.split("/").slice(1);
  const found = endpoints.find(({ path }) => matches(path, segments));
  if (found === undefined) return pageNotFound;
  if (caller === "stranger") return failure(500, "Process ID not found in container");
  if (caller === "user") return failure(401, "Access denied for non-root user");
  let settings: Settings;
  try {
    settings = guest.settings();
    if (!hasApi(settings)) return forbidden;
    const handle = Object.hasOwn(found.methods, request.method) ? found.methods[request.method] : undefined;
    if (handle === undefined) return noMethod;
    const rest = decode(segments[found.path.indexOf("*")] ?? "");
    if (rest === null) return badRequest("400 Bad Request");
    return handle({ rest, query: new URLSearchParams(target.query), body: request.body }, guest, settings, hostName);
  } catch (error) {
    // Where the host keeps its files is not the guest's business.
    if (error instanceof IsletError) return failure(500, "the settings of this instance cannot be read");
    throw error;
  }
}

/** null: no target that HTTP knows. */
function parseTarget(target: string): { readonly path: string; readonly query: string } | null {
  const origin = target.replace(/^[a-z]+:\/\/[^/?]*/i, "");
  const at = origin.indexOf("?");
  const path = at < 0 ? origin : origin.slice(0, at);
  if (path === "" && origin !== target) return { path: "/", query: "" };
  if (!path.startsWith("/")) return null;
  return { path, query: at < 0 ? "" : origin.slice(at + 1) };
}

/** Go's path.Clean, with a slash at the end kept. */
function cleanPath(path: string): string {
  const out: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === "..") out.pop();
    else out.push(part);
  }
  return `/${out.join("/")}${out.length > 0 && path.endsWith("/") ? "/" : ""}`;
}

const moved = (path: string, query: string): Answer => ({
  kind: "answer",
  status: 301,
  headers: [["Location", query === "" ? path : `${path}?${query}`]],
  body: "",
});

function matches(path: readonly string[], segments: readonly string[]): boolean {
  return (
    path.length === segments.length &&
    path.every((part, index) => (part === "*" ? segments[index] !== "" : part === segments[index]))
  );
}

function decode(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

function patchState(body: string, guest: GuestView): Answer {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return badRequest("the body is not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return badRequest("the body is no object");
  const state: unknown = "state" in value ? value.state : "";
  if (typeof state !== "string") return badRequest("the state is no string");
  if (state !== "Ready" && state !== "Started")
    return badRequest(`Invalid state ${JSON.stringify(state.slice(0, 100))}`);
  guest.setReady(state === "Ready");
  return raw("");
}

const isSshKey = (key: string): boolean => key.startsWith(sshKeysPrefix);

/** Where the keys for SSH go when there is nothing else to put them into. */
const sshCarriers = ["cloud-init.vendor-data", "user.vendor-data"];

/** Keys that the guest is told of; what would be answered with 404 is not among them. */
function listed(settings: Settings): readonly string[] {
  const own = Object.entries(settings)
    .filter(([key, value]) => isGuestKey(key) && !isSshKey(key) && value !== "")
    .map(([key]) => key);
  return [...new Set([...own, ...(needsCarrier(settings) ? sshCarriers : [])])].sort();
}

function needsCarrier(settings: Settings): boolean {
  return (
    Object.keys(settings).some(isSshKey) &&
    !Object.entries(settings).some(([key, value]) => isMergeable(key) && value !== "")
  );
}

function oneSetting(key: string, settings: Settings): Answer {
  if (!isGuestKey(key)) return forbidden;
  if (isSshKey(key)) return notFound;
  const carried = needsCarrier(settings) && sshCarriers.includes(key) ? "#cloud-config\n" : "";
  const value = (Object.hasOwn(settings, key) ? settings[key] : undefined) ?? "";
  const text = value === "" ? carried : value;
  if (text === "") return notFound;
  return raw(isMergeable(key) ? withSshKeys(text, settings) : text);
}

function events(query: URLSearchParams): Answer | EventStream {
  const wanted = (query.get("type") ?? "").split(",").filter((word) => word !== "");
  const unknown = wanted.find((word) => !eventTypes.some((type) => type === word));
  if (unknown !== undefined) return badRequest(`${JSON.stringify(unknown.slice(0, 100))} isn't a supported event type`);
  return {
    kind: "events",
    types: new Set(eventTypes.filter((type) => wanted.length === 0 || wanted.includes(type))),
  };
}

/** As LXD writes it: one object without a line end. */
export function eventJson({ timestamp, change }: GuestEvent): string {
  switch (change.kind) {
    case "config":
      return JSON.stringify({
        type: "config",
        timestamp,
        metadata: { key: change.key, old_value: change.before, value: change.after },
      });
    case "device":
      return JSON.stringify({
        type: "device",
        timestamp,
        metadata: { action: change.action, config: sortedByKey(change.config), name: change.name },
      });
    default: {
      const impossible: never = change;
      return impossible;
    }
  }
}
