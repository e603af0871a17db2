import type { GuestDoor } from "../../../engine/engine.js";

/** LXD's API for guests. Nothing of it, nor of Node's HTTP, is loaded before there is a guest for it. */
export const guestDoor = async (): Promise<GuestDoor> => (await import("./server.js")).createGuestDoor();
