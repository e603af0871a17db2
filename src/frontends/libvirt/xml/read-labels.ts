/** `<seclabel>` and the block of namespaces that are shared. */
import { errorDomains } from "../errors.js";
import type { NamespaceSource, SecLabel, SharedNamespaces } from "./domain.js";
import type { XmlElement } from "./tree.js";
import { all, attribute, choice, elementsOf, internalError, textAt, unsupported, xmlError } from "./values.js";
import { errorCodes, LibvirtError } from "../errors.js";

const types = ["none", "dynamic", "static"] as const;

/** `hostModel`: of those that name none; null: no module of the host's could label. */
export function readSecLabels(domain: XmlElement, hostModel: string | null): readonly SecLabel[] {
  const labels: SecLabel[] = [];
  const models = new Set<string | null>();
  const elements = all(domain, "seclabel");
  for (const element of elements) {
    const label = readSecLabel(element);
    if (models.has(label.model))
      throw new LibvirtError(
        errorCodes.malformedXml,
        errorDomains.domain,
        `seclabel for model ${label.model ?? "(null)"} is already provided`,
      );
    models.add(label.model);
    labels.push(label);
  }
  if (labels.length > 1 && labels.some(({ model }) => model === null))
    throw xmlError("missing security model when using multiple labels");
  const [only] = labels;
  if (labels.length !== 1 || only === undefined || only.model !== null) return labels;
  if (hostModel !== null) return [{ ...only, model: hostModel }];
  // Without a module of the host that could label, "none" is the model.
  if (only.type === "static" || only.baseLabel !== null || attribute(elements[0] ?? null, "type") === null)
    throw xmlError("missing security model in domain seclabel");
  return [noLabel];
}

const noLabel: SecLabel = {
  type: "none",
  model: "none",
  relabel: false,
  label: null,
  baseLabel: null,
  imageLabel: null,
};

function readSecLabel(element: XmlElement): SecLabel {
  const model = attribute(element, "model");
  const type = choice(element, "type", types) ?? "dynamic";
  const said = choice(element, "relabel", ["yes", "no"] as const);
  const relabel = said === null ? type === "dynamic" : said === "yes";
  if (type === "dynamic" && !relabel) throw unsupported("dynamic label type must use resource relabeling");
  if (type === "none" && relabel) throw unsupported("resource relabeling is not compatible with 'none' label type");
  if (model === "none") return noLabel;
  const label = type === "static" ? textAt(element, "label") : null;
  // Asked before the model: so does libvirt.
  if (type === "static" && label === null) throw xmlError("security label is missing");
  const baseLabel = type === "dynamic" ? textAt(element, "baselabel") : null;
  return { type, model, relabel, label, baseLabel, imageLabel: null };
}

export const namespaceUri = "http://libvirt.org/schemas/domain/lxc/1.0";

const features = { sharenet: "net", shareipc: "ipc", shareuts: "uts" } as const;
const sources = ["none", "name", "pid", "netns"] as const;

/** null: no block, or an empty one, or one of another namespace. */
export function readNamespaces(domain: XmlElement): SharedNamespaces | null {
  const blocks = elementsOf(domain).filter(({ uri, name }) => uri === namespaceUri && name === "namespace");
  const children = blocks.flatMap(elementsOf);
  if (children.length === 0) return null;
  const shared: { net: NamespaceSource | null; ipc: NamespaceSource | null; uts: NamespaceSource | null } = {
    net: null,
    ipc: null,
    uts: null,
  };
  const lacking = (): Error => internalError("No lxc environment type specified", errorDomains.lxc);
  for (const child of children) {
    if (!(child.name in features)) throw unsupported(`unsupported Namespace feature: ${child.name}`, errorDomains.lxc);
    const which = features[child.name as keyof typeof features];
    const text = attribute(child, "type");
    if (text === null) throw lacking();
    const type = sources.find((each) => each === text);
    if (type === undefined) throw internalError(`Unknown LXC namespace source '${text}'`, errorDomains.lxc);
    const value = attribute(child, "value");
    if (value === null) throw lacking();
    // The last counts, and one of nothing is none.
    shared[which] = type === "none" ? null : { type, value };
  }
  return shared.net === null && shared.ipc === null && shared.uts === null ? null : shared;
}
