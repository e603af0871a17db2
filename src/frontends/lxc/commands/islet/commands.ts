import type { CommandLoader } from "../../index.js";

/** The commands of islet alone, by verb. `islet VERB` is one of these, or else lxc-VERB. */
export const isletCommands: Readonly<Record<string, CommandLoader>> = {
  doctor: async () => (await import("./doctor.js")).doctor,
  help: async () => (await import("./help.js")).help,
  ls: async () => (await import("./ls.js")).ls,
  plan: async () => (await import("./plan.js")).plan,
  top: async () => (await import("./top.js")).top,
  version: async () => (await import("./version.js")).version,
};
