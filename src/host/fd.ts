import { closeFd } from "./addon.js";

/** A descriptor that this process must close; `using` closes it at the end of the scope. */
export interface OwnedFd extends Disposable {
  readonly number: number;
  /** Gives it up: whoever takes the number closes it. */
  release(): number;
}

export function ownFd(number: number): OwnedFd {
  let open = true;
  return {
    number,
    release(): number {
      open = false;
      return number;
    },
    [Symbol.dispose](): void {
      if (open) closeFd(number);
      open = false;
    },
  };
}
