import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Driver } from "../../../../src/frontends/libvirt/driver/driver.js";
import { type DomainEvent, lifecycle } from "../../../../src/frontends/libvirt/driver/events.js";
import { eventHandlers } from "../../../../src/frontends/libvirt/procedures/events.js";
import { secondaryHandlers } from "../../../../src/frontends/libvirt/procedures/secondary.js";
import type { Call, Client, Handlers } from "../../../../src/frontends/libvirt/rpc/handlers.js";

const domain = { name: "web", uuid: "4de601c5-e42e-4721-81c9-7abc8ac07934", id: 7 };

interface TestClient {
  readonly call: Call;
  readonly heard: () => readonly unknown[];
  readonly go: () => void;
}

function testClient(): TestClient {
  const heard: unknown[] = [];
  const closed: (() => void)[] = [];
  const client: Client = {
    id: 0,
    readOnly: false,
    uid: 0,
    gid: 0,
    pid: 1,
    push: (event, message) => {
      heard.push([event, message]);
    },
    onClose: (callback) => {
      closed.push(callback);
    },
  };
  return {
    call: { client, fds: [], replyWith: () => undefined, openStream: () => undefined },
    heard: () => heard.splice(0),
    go: () => {
      for (const callback of closed) callback();
    },
  };
}

/** What they do is done at once. */
type EventHandlers = {
  readonly [N in keyof Handlers]-?: (...args: Parameters<Required<Handlers>[N]>) => unknown;
};

function place(): { readonly handlers: EventHandlers; readonly emit: (event: DomainEvent) => void } {
  const listeners: ((event: DomainEvent) => void)[] = [];
  const events = { subscribe: (listener: (event: DomainEvent) => void) => listeners.push(listener) };
  const handlers = eventHandlers({ events } as unknown as Driver) as EventHandlers;
  return {
    handlers,
    emit: (event) => {
      for (const listener of listeners) listener(event);
    },
  };
}

const started: DomainEvent = { kind: "lifecycle", domain, what: lifecycle.started };

describe("events", () => {
  it("come without ids to clients that know of none, until they are done with them", () => {
    const { handlers, emit } = place();
    const { call, heard } = testClient();
    assert.deepEqual(handlers.CONNECT_DOMAIN_EVENT_REGISTER({}, call), { cb_registered: 0 });
    handlers.CONNECT_DOMAIN_EVENT_REGISTER_ANY({ eventID: 1 }, call);
    emit(started);
    emit({ kind: "reboot", domain });
    emit({ kind: "metadata", domain, type: 0, uri: null });
    assert.deepEqual(heard(), [
      ["DOMAIN_EVENT_LIFECYCLE", { dom: domain, event: 2, detail: 0 }],
      ["DOMAIN_EVENT_REBOOT", { dom: domain }],
    ]);
    assert.deepEqual(handlers.CONNECT_DOMAIN_EVENT_DEREGISTER({}, call), { cb_registered: 0 });
    handlers.CONNECT_DOMAIN_EVENT_DEREGISTER_ANY({ eventID: 1 }, call);
    emit(started);
    emit({ kind: "reboot", domain });
    assert.deepEqual(heard(), []);
  });

  it("that a client has not asked for, or cannot, are refused in libvirt's words", () => {
    const { handlers } = place();
    const { call } = testClient();
    const refused = (ask: () => unknown, code: number, message: RegExp): void => {
      assert.throws(ask, { code, message });
    };
    const far = { eventID: 16 };
    refused(() => handlers.CONNECT_DOMAIN_EVENT_DEREGISTER({}, call), 1, /domain event 0 not registered$/);
    refused(() => handlers.CONNECT_DOMAIN_EVENT_REGISTER_ANY(far, call), 1, /unsupported event ID 16$/);
    refused(() => handlers.CONNECT_DOMAIN_EVENT_DEREGISTER_ANY(far, call), 1, /unsupported event ID 16$/);
    handlers.CONNECT_DOMAIN_EVENT_REGISTER({}, call);
    refused(() => handlers.CONNECT_DOMAIN_EVENT_REGISTER({}, call), 8, /event callback already tracked$/);
    refused(
      () => handlers.CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY({ eventID: 0, dom: null }, call),
      8,
      /event callback already tracked$/,
    );
  });

  it("are each client's own: another may ask for the same, and of one domain alone", () => {
    const { handlers, emit } = place();
    const [one, other] = [testClient(), testClient()];
    handlers.CONNECT_DOMAIN_EVENT_REGISTER({}, one.call);
    handlers.CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY({ eventID: 0, dom: null }, other.call);
    const dom = { ...domain, uuid: "11111111-2222-3333-4444-555555555555" };
    handlers.CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY({ eventID: 0, dom }, other.call);
    emit(started);
    assert.equal(one.heard().length, 1);
    assert.deepEqual(other.heard(), [
      ["DOMAIN_EVENT_CALLBACK_LIFECYCLE", { callbackID: 1, msg: { dom: domain, event: 2, detail: 0 } }],
    ]);
    one.go();
    emit(started);
    assert.deepEqual([one.heard().length, other.heard().length], [0, 1]);
  });

  it("of what there is none of can be asked for, and no more, by the client that asked", () => {
    const handlers = secondaryHandlers() as EventHandlers;
    const [one, other] = [testClient(), testClient()];
    const networks = { eventID: 0, net: null };
    assert.deepEqual(handlers.CONNECT_NETWORK_EVENT_REGISTER_ANY(networks, one.call), { callbackID: 0 });
    assert.deepEqual(handlers.CONNECT_NETWORK_EVENT_REGISTER_ANY(networks, other.call), { callbackID: 1 });
    assert.deepEqual(handlers.CONNECT_SECRET_EVENT_REGISTER_ANY({ eventID: 1, secret: null }, one.call), {
      callbackID: 0,
    });
    const done = (callbackID: number, { call }: TestClient): unknown =>
      handlers.CONNECT_NETWORK_EVENT_DEREGISTER_ANY({ callbackID }, call);
    assert.throws(() => done(1, one), { code: 1, message: /network event callback 1 not registered$/ });
    done(0, one);
    assert.throws(() => done(0, one), { code: 1, message: /network event callback 0 not registered$/ });
    other.go();
    assert.throws(() => done(1, other), { message: /not registered$/ });
    assert.throws(() => handlers.CONNECT_NETWORK_EVENT_REGISTER_ANY({ eventID: 1, net: null }, one.call), {
      code: 1,
      message: /unsupported network event ID 1$/,
    });
  });
});
