/** Capabilities for front ends, which see src/spec but not src/sys. */
export { CAP_LAST_CAP, CAPABILITIES, capabilityName, capabilityNumber } from "../sys/capability.js";
