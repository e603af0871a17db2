/** Sources of packages as apt(8) is told of them (sources.list(5)): one entry per URI and suite. */
export interface AptSource {
  readonly uri: string;
  readonly suite: string;
  readonly components: readonly string[];
  /** Files with keys, or fingerprints, as the entry has them; none: all that apt trusts. */
  readonly signedBy: readonly string[];
  /** The entry says that nothing of it need be signed. */
  readonly isTrusted: boolean;
}

const words = (text: string): readonly string[] => text.split(/[\s,]+/).filter((word) => word !== "");

/** The `deb` lines of a sources.list; what cannot be understood is passed over. */
export function parseSourceLines(text: string): readonly AptSource[] {
  return text.split("\n").flatMap((line) => {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*([^#]*)/.exec(line);
    if (match === null) return [];
    const [, options = "", uri = "", suite = "", components = ""] = match;
    const values = new Map(
      options
        .split(/\s+/)
        .filter((each) => each.includes("="))
        .map((each) => [each.slice(0, each.indexOf("=")).toLowerCase(), each.slice(each.indexOf("=") + 1)] as const),
    );
    return [
      {
        uri,
        suite,
        components: words(components),
        signedBy: words((values.get("signed-by") ?? "").replaceAll('"', "")),
        isTrusted: isYes(values.get("trusted")),
      },
    ];
  });
}

const isYes = (value: string | undefined): boolean => value !== undefined && /^(yes|true|1|on|enable)$/i.test(value);

/** A `.sources` file: stanzas of fields (deb822). A key written out within Signed-By is passed over. */
export function parseSourceStanzas(text: string): readonly AptSource[] {
  const lines = text.split("\n").filter((line) => !line.startsWith("#"));
  const stanzas = lines.join("\n").split(/\n[ \t]*\n/);
  return stanzas.flatMap((stanza) => {
    const fields = new Map<string, string>();
    let last = "";
    for (const line of stanza.split("\n")) {
      if (/^[ \t]/.test(line)) {
        fields.set(last, `${fields.get(last) ?? ""}\n${line.trim()}`);
        continue;
      }
      const colon = line.indexOf(":");
      if (colon <= 0) continue;
      last = line.slice(0, colon).trim().toLowerCase();
      fields.set(last, line.slice(colon + 1).trim());
    }
    const list = (name: string): readonly string[] => words(fields.get(name) ?? "");
    if (!list("types").includes("deb") || /^no$/i.test(fields.get("enabled") ?? "")) return [];
    const signed = fields.get("signed-by") ?? "";
    const common = {
      components: list("components"),
      signedBy: signed.includes("BEGIN PGP") ? [] : words(signed),
      isTrusted: isYes(fields.get("trusted")),
    };
    return list("uris").flatMap((uri) => list("suites").map((suite) => ({ uri, suite, ...common })));
  });
}

/** As a line of sources.list(5). `options` false: without those that only hold on the host it was read on. */
export function sourceLine(source: AptSource, options: boolean = true): string {
  const signedBy = source.signedBy.length === 0 ? [] : [`signed-by=${source.signedBy.join(",")}`];
  const all = options ? [...signedBy, ...(source.isTrusted ? ["trusted=yes"] : [])] : [];
  return [
    "deb",
    ...(all.length === 0 ? [] : [`[${all.join(" ")}]`]),
    source.uri,
    source.suite,
    ...source.components,
  ].join(" ");
}
