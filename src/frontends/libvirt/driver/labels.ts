import { randomInt } from "node:crypto";
import { checkConfined, readLxcConf } from "../beside/lxc-conf.js";
import { completeLabel, levelOf, readSelinux, type Selinux, usualLabel } from "../beside/selinux.js";
import { errorCodes, errorDomains } from "../errors.js";
import { refusal } from "../spec/context.js";
import type { DomainDoc, SecLabel } from "../xml/domain.js";
import type { DriverContext } from "./context.js";

/**
 * A document with the labels that its next start gives the guest. Of SELinux one is made where the document wants that, or says nothing and the
 * administrator wants all guests confined (libvirt's default). `running`: documents of all domains that run.
 * @throws LibvirtError what the administrator does not let start
 */
export async function withLabels(
  context: Pick<DriverContext, "lxcConf">,
  running: () => Promise<readonly DomainDoc[]>,
  doc: DomainDoc,
): Promise<DomainDoc> {
  const { given, selinux, mayLabel } = wantedLabels(context, doc);
  const others = selinux === null ? [] : await running();
  const taken = new Set(others.flatMap(({ seclabels }) => seclabels.flatMap(levels)));
  const complete = (label: SecLabel): SecLabel => {
    if (label.model !== "selinux" || label.type === "none") return label;
    // One of the document's own needs nothing of the policy's.
    if (selinux === null && mayLabel && label.type === "static") return label;
    if (selinux === null) {
      const message = "Security driver model 'selinux' is not available";
      throw refusal(errorCodes.configUnsupported, errorDomains.security, message);
    }
    return completeLabel(label, selinux, taken, (below) => randomInt(below));
  };
  return { ...doc, seclabels: given.map(complete) };
}

/** What a start is to label, by the document and by what the administrator wants. @throws LibvirtError what the administrator does not let start */
export function wantedLabels(
  { lxcConf }: Pick<DriverContext, "lxcConf">,
  doc: DomainDoc,
): { readonly given: readonly SecLabel[]; readonly selinux: Selinux | null; readonly mayLabel: boolean } {
  const conf = readLxcConf(lxcConf);
  const mayLabel = conf.securityDriver === null || conf.securityDriver === "selinux";
  const selinux = mayLabel ? readSelinux() : null;
  const saysNothing = doc.seclabels.length === 0;
  const given = saysNothing && selinux !== null && conf.defaultConfined ? [usualLabel] : doc.seclabels;
  checkConfined(conf, { ...doc, seclabels: given });
  return { given, selinux, mayLabel };
}

function levels(label: SecLabel): readonly string[] {
  const level = label.model === "selinux" ? levelOf(label) : null;
  return level === null ? [] : [level];
}

/** What a running domain's monitor keeps of its labels: a document that is read again has none that were made. */
export const labelAnnotation = "libvirt.selinux";

export function labelNote({ seclabels }: DomainDoc): Readonly<Record<string, string>> {
  const label = seclabels.find(({ model, imageLabel }) => model === "selinux" && imageLabel !== null);
  return label === undefined ? {} : { [labelAnnotation]: `${label.label ?? ""}\n${label.imageLabel ?? ""}` };
}

export function withNotedLabel(doc: DomainDoc, annotations: Readonly<Record<string, string>>): DomainDoc {
  const [label = "", imageLabel = ""] = annotations[labelAnnotation]?.split("\n") ?? [];
  if (label === "") return doc;
  const made = (given: SecLabel): SecLabel => ({ ...given, label, imageLabel });
  if (!doc.seclabels.some(({ model }) => model === "selinux"))
    return { ...doc, seclabels: [...doc.seclabels, made(usualLabel)] };
  return { ...doc, seclabels: doc.seclabels.map((each) => (each.model === "selinux" ? made(each) : each)) };
}
