import type { Engine } from "../engine.js";
import type { EngineParts } from "./parts.js";

/** The requests about what containers are made of and joined with: images, bridges, nics of users. */
type OfHost =
  | "fillRootfs"
  | "remoteImages"
  | "pinImage"
  | "images"
  | "pruneImages"
  | "refreshImage"
  | "wantedBridge"
  | "bridgeUp"
  | "bridgeDown"
  | "bridgeCheck"
  | "bridges"
  | "nicGrants"
  | "addUserNic"
  | "removeUserNic";

export function hostRequests({
  options,
  host,
  images,
  bridges,
  nicGrants,
  userNics,
}: EngineParts): Pick<Engine, OfHost> {
  return {
    fillRootfs: async (request, wanted) => {
      if (request.kind === "busybox") {
        const { fillWithBusybox } = await import("../../image/busybox.js");
        await fillWithBusybox(request);
        return null;
      }
      return (await images()).fill(request, wanted);
    },
    remoteImages: async (server, wanted) => {
      const { remoteImages } = await import("../remote-images.js");
      return await remoteImages(host, server, wanted);
    },
    pinImage: async (image, wanted) => {
      if (image.kind !== "oci") return image;
      const { pinOci } = await import("../remote-images.js");
      return await pinOci(image, wanted);
    },
    images: async () => (await images()).list(),
    pruneImages: async (wanted) => (await images()).prune(wanted),
    refreshImage: async (name, wanted) => (await images()).refresh(name, wanted),
    wantedBridge: async () => (await options.wantedBridge?.(null)) ?? null,
    bridgeUp: async (network) => (await bridges()).up(network),
    bridgeDown: async (name, force) => (await bridges()).down(name, force),
    bridgeCheck: async (name) => (await bridges()).check(name),
    bridges: async () => (await bridges()).list(),
    nicGrants,
    addUserNic: async (request) => (await userNics()).add(request),
    removeUserNic: async (request) => (await userNics()).remove(request),
  };
}
