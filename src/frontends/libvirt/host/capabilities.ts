import type { HostArch } from "./cpu.js";
import { formatCpuList } from "./cpu-list.js";
import type { CacheBank, HostCapabilities, HostCell } from "./capabilities-facts.js";

/** The document of CONNECT_GET_CAPABILITIES, as libvirt's LXC driver prints it. */
export function writeCapabilities(host: HostCapabilities): string {
  const parts = [hostPart(host), ...guestArches[host.arch].map((guest) => guestPart(guest, host.emulator))];
  return `<capabilities>\n\n${parts.map((lines) => `${indented(lines).join("\n")}\n\n`).join("")}</capabilities>\n`;
}

interface GuestArch {
  readonly name: string;
  readonly wordSize: 32 | 64;
}

const guestArches: Readonly<Record<HostArch, readonly GuestArch[]>> = {
  x86_64: [
    { name: "x86_64", wordSize: 64 },
    { name: "i686", wordSize: 32 },
  ],
  aarch64: [{ name: "aarch64", wordSize: 64 }],
};

type Lines = readonly string[];

const indented = (lines: Lines): Lines => lines.map((line) => `  ${line}`);
const element = (name: string, attributes: string, children: Lines): Lines => {
  const head = attributes === "" ? name : `${name} ${attributes}`;
  return children.length === 0 ? [`<${head}/>`] : [`<${head}>`, ...indented(children), `</${name}>`];
};
const escaped = (text: string): string =>
  text.replace(
    /[<>&'"]/g,
    (char) => ({ "<": "&lt;", ">": "&gt;", "&": "&amp;", "'": "&apos;", '"': "&quot;" })[char] ?? char,
  );

function hostPart({ uuid, arch, pageSizes, cells, banks, securityModel }: HostCapabilities): Lines {
  return element("host", "", [
    `<uuid>${uuid}</uuid>`,
    ...element("cpu", "", [`<arch>${arch}</arch>`, ...pageSizes.map((size) => `<pages unit='KiB' size='${size}'/>`)]),
    "<power_management/>",
    "<iommu support='no'/>",
    ...element("topology", "", element("cells", `num='${cells.length}'`, cells.flatMap(cellPart))),
    ...(banks.length === 0 ? [] : element("cache", "", banks.map(bankPart))),
    ...element("secmodel", "", [
      `<model>${escaped(securityModel.model)}</model>`,
      `<doi>${escaped(securityModel.doi)}</doi>`,
      ...securityModel.baseLabels.map(
        ({ type, label }) => `<baselabel type='${escaped(type)}'>${escaped(label)}</baselabel>`,
      ),
    ]),
  ]);
}

function cellPart({ id, memory, pages, distances, cpus }: HostCell): Lines {
  return element("cell", `id='${id}'`, [
    ...(memory === 0n ? [] : [`<memory unit='KiB'>${memory}</memory>`]),
    ...pages.map(({ size, count }) => `<pages unit='KiB' size='${size}'>${count}</pages>`),
    ...(distances.length === 0
      ? []
      : element(
          "distances",
          "",
          distances.map(({ node, value }) => `<sibling id='${node}' value='${value}'/>`),
        )),
    ...element(
      "cpus",
      `num='${cpus.length}'`,
      cpus.map(
        (cpu) =>
          `<cpu id='${cpu.id}' socket_id='${cpu.socket}' die_id='${cpu.die}' core_id='${cpu.core}' siblings='${formatCpuList(cpu.siblings)}'/>`,
      ),
    ),
  ]);
}

function bankPart({ id, level, type, size, cpus }: CacheBank): string {
  const [number, unit] = prettySize(size);
  return `<bank id='${id}' level='${level}' type='${type}' size='${number}' unit='${unit}' cpus='${formatCpuList(cpus)}'/>`;
}

/** In the largest unit that it is a whole number of. */
function prettySize(bytes: number): readonly [number, string] {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let [size, index] = [bytes, 0];
  while (size !== 0 && size % 1024 === 0 && index + 1 < units.length) [size, index] = [size / 1024, index + 1];
  return [size, units[index] ?? "B"];
}

const guestPart = ({ name, wordSize }: GuestArch, emulator: string): Lines =>
  element("guest", "", [
    "<os_type>exe</os_type>",
    ...element("arch", `name='${name}'`, [
      `<wordsize>${wordSize}</wordsize>`,
      `<emulator>${escaped(emulator)}</emulator>`,
      "<domain type='lxc'/>",
    ]),
  ]);
