import { mountDevice } from "./block.js";
import { mountOverlay } from "./overlay.js";

/** How root file systems are mounted that are no directories: loaded when there is one. */
export interface SourceMounts {
  readonly device: typeof mountDevice;
  readonly overlay: typeof mountOverlay;
}

export const sourceMounts: SourceMounts = { device: mountDevice, overlay: mountOverlay };
