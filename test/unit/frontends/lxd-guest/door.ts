import { once } from "node:events";
import { Socket } from "node:net";
import type { GuestCaller, GuestEvent, GuestView } from "../../../../src/engine/engine.js";
import { createGuestDoor } from "../../../../src/frontends/lxd/guest/server.js";
import { socketPair } from "../../../../src/host/socket.js";
import { createShare, unixStream } from "../../../../src/host/unix-stream.js";
import type { Settings } from "../../../../src/spec/settings.js";
import { currentArch } from "../../../support/image.js";

/** A guest of canned data, and real bytes over a real socket. */

export interface CannedGuest extends GuestView {
  settingsNow: Record<string, string>;
  readonly tell: (event: GuestEvent) => void;
  readonly listeners: Set<(event: GuestEvent) => void>;
}

export function cannedGuest(settings: Settings): CannedGuest {
  let ready = false;
  const listeners = new Set<(event: GuestEvent) => void>();
  const guest: CannedGuest = {
    name: "d1",
    settingsNow: { ...settings },
    settings: () => guest.settingsNow,
    instanceId: () => "1395c13c-08c8-4b5d-aa82-2aad37f17c90",
    devices: () => ({
      eth0: { type: "nic", name: "eth0", network: "lxdbr0", hwaddr: "00:16:3e:e4:de:f9" },
      root: { type: "disk", pool: "default", path: "/" },
    }),
    ready: () => ready,
    setReady: (value) => {
      ready = value;
    },
    subscribe: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    listeners,
    tell: (event) => {
      for (const listener of listeners) listener(event);
    },
  };
  return guest;
}

const door = createGuestDoor();

export function connect(guest: GuestView, caller: GuestCaller = "root"): Socket {
  const [ours, theirs] = socketPair(currentArch);
  const stream = unixStream(currentArch, theirs, createShare(1000));
  stream.on("error", () => undefined);
  door(stream, caller, guest);
  return new Socket({ fd: ours, readable: true, writable: true });
}

/** All that comes until the other side ends the connection, or `milliseconds` have gone. The time in Date is left out. */
export async function exchange(
  guest: GuestView,
  request: string | Uint8Array,
  caller: GuestCaller = "root",
  milliseconds: number = 10_000,
): Promise<string> {
  const socket = connect(guest, caller);
  let all = "";
  socket.setEncoding("latin1").on("data", (text: string) => (all += text));
  socket.on("error", () => undefined);
  const timer = setTimeout(() => socket.destroy(), milliseconds);
  socket.write(request);
  await once(socket, "close");
  clearTimeout(timer);
  return all.replace(/^Date: [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT\r$/gm, "Date: D\r");
}
