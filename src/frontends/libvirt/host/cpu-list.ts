/** Lists of processors and memory nodes as the kernel and libvirt write them: `0-3,8`. */

/** Bits of libvirt's maps of processors (VIR_DOMAIN_CPUMASK_LEN). */
export const mostCpus = 16_384;

/** Ascending, each once and below `most`. `^2` takes one away again, as libvirt has it. null: a wrong text. */
export function parseCpuList(text: string, most: number = mostCpus): readonly number[] | null {
  // Filled and not counted, since a text may name all of them over and over.
  const isNamed = new Uint8Array(most);
  // A comma may end the list.
  for (const part of text.replace(/,\s*$/, "").split(",")) {
    const match = /^\s*(\^?)(\d{1,9})\s*(?:-\s*(\d{1,9})\s*)?$/.exec(part);
    if (match === null) return null;
    const [, without, first = "", last] = match;
    const from = Number(first);
    const to = last === undefined ? from : Number(last);
    if (to < from || to >= most || (without !== "" && last !== undefined)) return null;
    isNamed.fill(without === "" ? 1 : 0, from, to + 1);
  }
  const numbers: number[] = [];
  for (let next = isNamed.indexOf(1); next !== -1; next = isNamed.indexOf(1, next + 1)) numbers.push(next);
  return numbers;
}

/** The shortest text of ascending numbers. */
export function formatCpuList(numbers: readonly number[]): string {
  const parts: string[] = [];
  for (let start = 0; start < numbers.length;) {
    let end = start;
    while (numbers[end + 1] === (numbers[end] ?? 0) + 1) end++;
    parts.push(start === end ? String(numbers[start]) : `${numbers[start]}-${numbers[end]}`);
    start = end + 1;
  }
  return parts.join(",");
}

/** Processor N is bit N % 8 of byte N / 8; as long as the highest of them needs. */
export function cpuBitmap(numbers: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(Math.ceil((Math.max(-1, ...numbers) + 1) / 8));
  for (const number of numbers) bytes[number >> 3] = (bytes[number >> 3] ?? 0) | (1 << (number & 7));
  return bytes;
}
