import { Socket } from "node:net";
import type { CommandSession, Screen, ScreenEvents } from "../engine/engine.js";
import { closeFd } from "../host/addon.js";
import { socketPair } from "../host/socket.js";

/** A relay whose other side is the command itself: docs/protocol/control.md, RELAY. */
export function openScreen(relay: CommandSession["relay"], on: ScreenEvents): Screen {
  const [ours, theirs] = socketPair(process.arch === "x64" ? "x86_64" : "arm64");
  const socket = new Socket({ fd: ours, readable: true, writable: true });
  socket.on("data", (bytes: Uint8Array) => {
    on.input(bytes);
  });
  // The client has left: `over` tells.
  socket.on("error", () => socket.destroy());
  const alternate = on.alternate === true;
  const over = relay(theirs, { escape: null, onResize: on.resize, onSignal: on.signal, alternate }).then(() => {
    socket.destroy();
  });
  closeFd(theirs);
  return {
    over,
    get busy() {
      return socket.writableLength > 0;
    },
    write(text): void {
      if (!socket.destroyed && !socket.writableEnded) socket.write(text);
    },
    close(): void {
      if (!socket.writableEnded) socket.end();
    },
  };
}
