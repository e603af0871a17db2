import type { Duplex } from "node:stream";
import type { Settings } from "../spec/settings.js";

/** What a guest is told and asked through an API of its own; part of the engine's list of requests (engine.ts). */

/** Something that a guest is told of itself, with the time it happened (RFC 3339). */
export interface GuestEvent {
  readonly timestamp: string;
  readonly change:
    | { readonly kind: "config"; readonly key: string; readonly before: string; readonly after: string }
    | {
        readonly kind: "device";
        readonly action: "added" | "removed";
        readonly name: string;
        readonly config: Readonly<Record<string, string>>;
      };
}

/** What a guest may know of itself, and say. Everything is asked for anew: settings change while it runs. */
export interface GuestView {
  readonly name: string;
  /** ISLET_BAD_CONFIG when the file is broken. */
  settings(): Settings;
  instanceId(): string;
  devices(): Readonly<Record<string, Readonly<Record<string, string>>>>;
  ready(): boolean;
  setReady(ready: boolean): void;
  subscribe(listener: (event: GuestEvent) => void): () => void;
}

/** Who is at the other end of a connection to a guest's API: root of that guest, another user of it, or somebody else's process. */
export type GuestCaller = "root" | "user" | "stranger";

/** Whoever speaks a guest's API: takes connections over. */
export type GuestDoor = (connection: Duplex, caller: GuestCaller, guest: GuestView) => void;
