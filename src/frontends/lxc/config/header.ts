/** The beginning of a new container's config file, as lxc-create writes it (cli.md 10). */

export interface HeaderInput {
  /** The template's path, e.g. /usr/share/lxc/templates/lxc-busybox; null: none. */
  readonly template: string | null;
  /** Parameters of the template, as given after `--`. */
  readonly parameters: readonly string[];
  /** SHA-1 of the template, hexadecimal; null: not known. */
  readonly checksum?: string | null;
}

export function createHeader(input: HeaderInput): string {
  const parameters = input.parameters.map((word) => ` ${word.replace(/[\r\n]/g, " ")}`).join("");
  const lines =
    input.template === null
      ? []
      : [
          `# Template used to create this container: ${input.template}`,
          `# Parameters passed to the template:${parameters}`,
          ...(input.checksum === undefined || input.checksum === null
            ? []
            : [`# Template script checksum (SHA-1): ${input.checksum}`]),
        ];
  return [
    ...lines,
    "# For additional config options, please look at lxc.container.conf(5)",
    "",
    "# Uncomment the following line to support nesting containers:",
    "#lxc.include = /usr/share/lxc/config/nesting.conf",
    "# (Be aware this has security implications)",
    "",
    "",
  ].join("\n");
}
