/** Codes of TELL that the client and the runner understand (docs/protocol/control.md). */
export const clientTells = { relay: 1, ignoreInterrupts: 2, forwardSignals: 3, log: 4, descriptor: 5 } as const;
