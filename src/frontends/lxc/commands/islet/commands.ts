import type { CommandLoader } from "../../index.js";

/** The commands of islet alone, by verb. `islet VERB` is one of these, or else lxc-VERB. */
export const isletCommands: Readonly<Record<string, CommandLoader>> = {
  doctor: async () => (await import("./doctor.js")).doctor,
  export: async () => (await import("./export.js")).exportCommand,
  get: async () => (await import("./settings.js")).get,
  help: async () => (await import("./help.js")).help,
  images: async () => (await import("./images.js")).images,
  import: async () => (await import("./import.js")).importCommand,
  ls: async () => (await import("./ls.js")).ls,
  net: async () => (await import("./net.js")).net,
  plan: async () => (await import("./plan.js")).plan,
  set: async () => (await import("./settings.js")).set,
  settings: async () => (await import("./settings.js")).settings,
  top: async () => (await import("./top.js")).top,
  unset: async () => (await import("./settings.js")).unset,
  version: async () => (await import("./version.js")).version,
  wait: async () => (await import("./wait.js")).wait,
};
