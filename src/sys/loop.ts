import { cString, pack } from "./bytes.js";

/** What ioctl(2) takes for loop devices (loop(4)). */

/** struct loop_config, 304 bytes: fd, block_size, struct loop_info64 (232 bytes), eight reserved words. */
export const LOOP_CONFIG_AT = { fd: 0, lo_flags: 60, lo_file_name: 64 } as const;
export const LOOP_CONFIG_SIZE = 304;
const LO_NAME_SIZE = 64;

/** The descriptor is filled in later. `path`: what losetup(8) shows, cut to what there is room for. */
export function loopConfig(flags: number, path: string): Uint8Array {
  const config = pack(LOOP_CONFIG_SIZE).u32(LOOP_CONFIG_AT.lo_flags, flags).bytes;
  config.set(cString(path).subarray(0, LO_NAME_SIZE - 1), LOOP_CONFIG_AT.lo_file_name);
  return config;
}
