/** How many times longer tests wait than on an ordinary machine: `npm run test:vm` sets it, where system calls are slow. */
export const patience: number = Math.max(1, Number(process.env["ISLET_TEST_PATIENCE"] ?? "1") || 1);
