/** Resource limits for front ends, which see src/spec but not src/sys. */
export { RLIMITS, rlimitNumber } from "../sys/rlimits.js";
