import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { errorCodes, errorDomains, LibvirtError } from "../errors.js";

/** virsh define --validate: against the schema that libvirt's own packages install, by libxml2's program. */

const schema = "/usr/share/libvirt/schemas/domain.rng";
/** Milliseconds. */
const patience = 20_000;

/** Throws 92, with what the schema has against it; 67 where there is no schema or no program to look. */
export async function validateDomain(xml: string): Promise<void> {
  if (!existsSync(schema)) {
    throw new LibvirtError(
      errorCodes.configUnsupported,
      errorDomains.domain,
      `there is no ${schema} to validate against (Debian: libvirt-clients)`,
    );
  }
  const said = await new Promise<string | null>((resolve, reject) => {
    const child = execFile(
      "xmllint",
      ["--nonet", "--noout", "--relaxng", schema, "-"],
      { timeout: patience, env: { LC_ALL: "C", PATH: "/usr/sbin:/usr/bin:/sbin:/bin" } },
      (error, _, stderr) => {
        if (error === null) resolve(null);
        else if (error.code === "ENOENT") reject(missingProgram());
        else resolve(stderr);
      },
    );
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(xml);
  });
  if (said === null) return;
  const lines = said
    .split("\n")
    .filter((line) => line !== "" && !/^- (fails to )?validates?/.test(line))
    .map((line) => line.replace(/^-:\d+: element [^:]+: /, ""));
  throw new LibvirtError(
    errorCodes.xmlInvalidSchema,
    errorDomains.domain,
    `Unable to validate doc against ${schema}\n${lines.join("\n")}`,
  );
}

function missingProgram(): LibvirtError {
  return new LibvirtError(
    errorCodes.configUnsupported,
    errorDomains.domain,
    "validating needs the program xmllint (Debian: libxml2-utils)",
  );
}
