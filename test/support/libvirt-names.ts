import type { DomainRef } from "../../src/frontends/libvirt/rpc/messages.js";

/** What is called otherwise here than where it was recorded: domains' uuids and ids, paths, addresses. */

interface Side {
  readonly uuids: Map<string, string>;
  readonly ids: Map<number, string>;
}

export interface Names {
  /** A text of the recording and what stands for it here. */
  same: (theirs: string, ours: string) => void;
  /** Domains that the recording speaks of, or that are here now. */
  learn: (side: "theirs" | "ours", value: unknown) => void;
  /** The domain of that name, as it was learnt last. */
  find: (name: string) => DomainRef | null;
  /** Arguments that were recorded, for the domains of here. */
  toOurs: (value: unknown) => unknown;
  /** The same words for the same things: `uuid of t2`. */
  plain: (side: "theirs" | "ours", value: unknown) => unknown;
}

export const isDomain = (value: unknown): value is DomainRef =>
  typeof value === "object" && value !== null && "uuid" in value && "id" in value && "name" in value;

/** A copy in which `change` has been asked about every value, by the name of its field; undefined: go on inside. */
function mapped(value: unknown, change: (each: unknown, field: string) => unknown, field = ""): unknown {
  const changed = change(value, field);
  if (changed !== undefined) return changed;
  if (Array.isArray(value)) return value.map((each) => mapped(each, change, field));
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, mapped(each, change, name)]));
}

export function createNames(): Names {
  const sides = {
    theirs: { uuids: new Map(), ids: new Map() } as Side,
    ours: { uuids: new Map(), ids: new Map() } as Side,
  };
  const texts: (readonly [theirs: string, ours: string])[] = [];
  const here = new Map<string, DomainRef>();

  const textToOurs = (text: string): string => {
    let out = text;
    for (const [theirs, ours] of texts) out = out.replaceAll(theirs, ours);
    for (const [uuid, name] of sides.theirs.uuids) out = out.replaceAll(uuid, here.get(name)?.uuid ?? uuid);
    return out;
  };
  const plainText = (side: "theirs" | "ours", text: string): string => {
    let out = text;
    if (side === "ours") for (const [theirs, ours] of texts) out = out.replaceAll(ours, theirs);
    for (const [uuid, name] of sides[side].uuids) out = out.replaceAll(uuid, `uuid of ${name}`);
    out = out.replace(/<uuid>[-0-9a-f]{36}<\/uuid>/g, "<uuid>a uuid</uuid>").replace(/\/dev\/pts\/\d+/g, "/dev/pts/N");
    return out.replace(/ id='(\d+)'/, (all, id) => {
      const name = sides[side].ids.get(Number(id));
      return name === undefined ? all : ` id='id of ${name}'`;
    });
  };
  return {
    same(theirs, ours) {
      texts.push([theirs, ours]);
    },
    learn(side, value) {
      mapped(value, (each) => {
        if (!isDomain(each)) return undefined;
        sides[side].uuids.set(each.uuid, each.name);
        if (each.id !== -1) sides[side].ids.set(each.id, each.name);
        if (side === "ours") here.set(each.name, each);
        return each;
      });
    },
    find: (name) => here.get(name) ?? null,
    toOurs: (value) =>
      mapped(value, (each, field) => {
        if (isDomain(each)) {
          const ours = here.get(each.name);
          return ours === undefined ? each : { ...ours, id: each.id === -1 ? -1 : ours.id };
        }
        if (field === "id" && typeof each === "number") return here.get(sides.theirs.ids.get(each) ?? "")?.id ?? each;
        return typeof each === "string" ? textToOurs(each) : undefined;
      }),
    plain: (side, value) =>
      mapped(value, (each, field) => {
        if ((field === "id" || field === "ids") && typeof each === "number" && each !== -1) {
          const name = sides[side].ids.get(each);
          return name === undefined ? each : `id of ${name}`;
        }
        return typeof each === "string" ? plainText(side, each) : undefined;
      }),
  };
}
