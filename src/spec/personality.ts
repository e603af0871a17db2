/** Architecture names for front ends, which see src/spec but not src/sys. */
export { archNames, personaOf } from "../sys/personality.js";
export type { Persona } from "../sys/personality.js";
