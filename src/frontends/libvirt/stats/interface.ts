/** DOMAIN_INTERFACE_STATS: what the guest has received and sent. */
export type InterfaceFigures = Readonly<
  Record<"rx_bytes" | "rx_packets" | "rx_errs" | "rx_drop" | "tx_bytes" | "tx_packets" | "tx_errs" | "tx_drop", bigint>
>;

/**
 * From /proc/net/dev. `seen` is whose counters these are: at the host's end of a veth the guest's traffic goes the other way. null: there is no such device.
 */
export function interfaceFigures(
  netDev: string | null,
  device: string,
  seen: "host" | "guest" = "host",
): InterfaceFigures | null {
  const line = (netDev ?? "").split("\n").find((each) => each.trimStart().startsWith(`${device}:`));
  const numbers = line?.slice(line.indexOf(`${device}:`) + device.length + 1).match(/\d+/g);
  if (numbers === undefined || numbers === null || numbers.length < 16) return null;
  const [inBytes, inPackets, inErrors, inDrop] = numbers.map(BigInt);
  const [outBytes, outPackets, outErrors, outDrop] = numbers.slice(8).map(BigInt);
  const coming = [inBytes ?? 0n, inPackets ?? 0n, inErrors ?? 0n, inDrop ?? 0n] as const;
  const going = [outBytes ?? 0n, outPackets ?? 0n, outErrors ?? 0n, outDrop ?? 0n] as const;
  const [rx, tx] = seen === "guest" ? [coming, going] : [going, coming];
  return {
    rx_bytes: rx[0],
    rx_packets: rx[1],
    rx_errs: rx[2],
    rx_drop: rx[3],
    tx_bytes: tx[0],
    tx_packets: tx[1],
    tx_errs: tx[2],
    tx_drop: tx[3],
  };
}
