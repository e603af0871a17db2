/** Lines of /proc/PID/mountinfo (proc(5)). */

export interface MountLine {
  readonly id: number;
  /** major:minor of the file system. */
  readonly device: string;
  /** What of the file system is mounted. */
  readonly root: string;
  readonly point: string;
  readonly fstype: string;
  /** The device, the data set, or any word. */
  readonly source: string;
  readonly superOptions: readonly string[];
}

/** In the order of the text: of two mounts on one place the upper one comes last. */
export function parseMountinfo(text: string): readonly MountLine[] {
  return text.split("\n").flatMap((line) => {
    const parsed = parseLine(line);
    return parsed === null ? [] : [parsed];
  });
}

function parseLine(line: string): MountLine | null {
  const middle = line.indexOf(" - ");
  if (middle < 0) return null;
  const [id = "", , device = "", root = "", point = ""] = line.slice(0, middle).split(" ");
  const [fstype = "", source = "", options = ""] = line.slice(middle + 3).split(" ");
  return {
    id: Number(id),
    device,
    root: unescapeMount(root),
    point: unescapeMount(point),
    fstype,
    source: unescapeMount(source),
    superOptions: options.split(","),
  };
}

/** Spaces, tabs, line ends and backslashes are octal there. */
export function unescapeMount(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
