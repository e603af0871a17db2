/** `<os>`, `<idmap>`, `<features>`, `<clock>`: what a domain boots and sees. */
import { errorDomains } from "../errors.js";
import type {
  Capabilities,
  Clock,
  CrashAction,
  DomainDoc,
  Features,
  IdRange,
  LifecycleAction,
  OsSpec,
} from "./domain.js";
import type { XmlElement } from "./tree.js";
import {
  all,
  attribute,
  choice,
  elementsOf,
  filled,
  first,
  internalError,
  invalidArgument,
  requiredChoice,
  signed,
  textAt,
} from "./values.js";
import { unsigned32, unsupported, xmlError } from "./values.js";

const virtualisations =
  "none qemu kqemu kvm xen lxc uml openvz test vmware hyperv vbox phyp parallels bhyve vz hvf".split(" ");
const osTypes = ["hvm", "xen", "linux", "exe", "uml", "xenpvh"];
/** libvirt's virArch. */
const architectures =
  "alpha armv6l armv7l armv7b aarch64 cris i686 ia64 lm32 m68k microblaze microblazeel mips mipsel mips64 mips64el openrisc parisc parisc64 ppc ppc64 ppc64le ppcemb riscv32 riscv64 s390 s390x sh4 sh4eb sparc sparc64 unicore32 x86_64 xtensa xtensaeb".split(
    " ",
  );

export interface Machine {
  readonly virtualisation: string;
  readonly osType: string;
  readonly arch: string;
}

/** What would run the domain; whether we can is asked later, as libvirt does. */
export function readMachine(domain: XmlElement, host: string): Machine {
  const virtualisation = filled(domain, "type");
  if (virtualisation === null) throw internalError("missing domain type attribute");
  if (!virtualisations.includes(virtualisation)) throw unsupported(`invalid domain type ${virtualisation}`);
  const osType = textAt(domain, "os", "type");
  if (osType === null) throw xmlError("an os <type> must be specified");
  if (!osTypes.includes(osType)) throw unsupported(`unknown OS type '${osType}'`);
  const arch = filled(first(domain, "os", "type"), "arch");
  if (arch !== null && !architectures.includes(arch)) throw unsupported(`Unknown architecture ${arch}`);
  return { virtualisation, osType, arch: arch ?? host };
}

/** The architecture, if a container of it can run here. 8/44 otherwise. */
export function supportedArch({ virtualisation, osType, arch }: Machine, host: string): OsSpec["arch"] {
  const runs = host === "x86_64" ? ["x86_64", "i686"] : [host];
  const fits = runs.includes(arch) && (arch === "x86_64" || arch === "i686" || arch === "aarch64");
  if (virtualisation !== "lxc" || osType !== "exe" || !fits) {
    const os = osType === "hvm" ? "" : `ostype=${osType} `;
    throw invalidArgument(
      `could not find capabilities for ${os}arch=${arch} domaintype=${virtualisation} `,
      errorDomains.capabilities,
    );
  }
  return arch;
}

/** Everything but the architecture; init is null where there is none. */
export function readOs(domain: XmlElement): Omit<OsSpec, "arch" | "init"> & { readonly init: string | null } {
  return {
    init: textAt(domain, "os", "init"),
    cmdline: textAt(domain, "os", "cmdline"),
    initDir: textAt(domain, "os", "initdir"),
    initUser: textAt(domain, "os", "inituser"),
    initGroup: textAt(domain, "os", "initgroup"),
    initArgs: all(domain, "os", "initarg").map((argument) => {
      const text = leadingText(argument);
      if (text === "") throw xmlError("No data supplied for <initarg> element");
      return text;
    }),
    initEnv: all(domain, "os", "initenv").map((variable) => {
      const name = attribute(variable, "name");
      if (name === null) throw xmlError("No name supplied for <initenv> element");
      const value = leadingText(variable);
      if (value === "") throw xmlError(`No value supplied for <initenv name='${name}'> element`);
      return { name, value };
    }),
  };
}

/** Text before the first element within. */
function leadingText(element: XmlElement): string {
  let text = "";
  for (const child of element.children) {
    if (child.kind === "element") break;
    if (child.kind === "text" || child.kind === "cdata") text += child.text;
  }
  return text;
}

/** Sorted by start. Whether both kinds map root is asked by `checkIdmap`. */
export function readIdmap(domain: XmlElement): DomainDoc["idmap"] {
  const uids = ranges(all(domain, "idmap", "uid"));
  const gids = ranges(all(domain, "idmap", "gid"));
  return uids.length === 0 && gids.length === 0 ? null : { uids, gids };
}

function ranges(elements: readonly XmlElement[]): readonly IdRange[] {
  const read = elements.map((element) => {
    const number = (name: string): number => {
      const value = unsigned32(attribute(element, name) ?? "");
      if (value === null) throw xmlError("invalid idmap start/target/count settings");
      return value;
    };
    return { start: number("start"), target: number("target"), count: number("count") };
  });
  return read.sort((a, b) => a.start - b.start);
}

export function checkIdmap(idmap: DomainDoc["idmap"]): void {
  if (idmap === null) return;
  if (idmap.uids.length === 0 || idmap.gids.length === 0) throw unsupported("uid and gid should be mapped both");
  if (idmap.uids[0]?.start !== 0 || idmap.gids[0]?.start !== 0)
    throw unsupported("You must map the root user of container");
}

/** In libvirt's order, which is also that of the output. */
export const featureNames: readonly string[] =
  "acpi apic pae hap viridian privnet hyperv kvm pvspinlock capabilities pmu vmport gic smm ioapic hpt vmcoreinfo htm nested-hv msrs ccf-assist xen cfpc sbbc ibs tcg".split(
    " ",
  );
/** Those that are written with what they are set to. */
const switched = ["hap", "pvspinlock", "pmu", "vmport", "smm", "vmcoreinfo", "htm", "nested-hv", "ccf-assist"];
const bare = ["acpi", "pae", "viridian"];

export const capabilityNames: readonly string[] =
  "audit_control audit_write block_suspend chown dac_override dac_read_search fowner fsetid ipc_lock ipc_owner kill lease linux_immutable mac_admin mac_override mknod net_admin net_bind_service net_broadcast net_raw setgid setfcap setpcap setuid sys_admin sys_boot sys_chroot sys_module sys_nice sys_pacct sys_ptrace sys_rawio sys_resource sys_time sys_tty_config syslog wake_alarm".split(
    " ",
  );

const onOff = ["on", "off"] as const;

/** What has no meaning for a container is checked by its name and, where it is a plain switch, kept. */
export function readFeatures(domain: XmlElement): Features {
  const others = new Map<string, string>();
  let privnet = false;
  let capabilities: Capabilities | null = null;
  for (const feature of all(domain, "features").flatMap(elementsOf)) {
    const { name } = feature;
    if (!featureNames.includes(name)) throw unsupported(`unexpected feature '${name}'`);
    if (name === "privnet") privnet = true;
    else if (name === "capabilities") capabilities = readCapabilities(feature, capabilities);
    else if (bare.includes(name)) others.set(name, name);
    else if (name === "apic") {
      const eoi = choice(feature, "eoi", onOff);
      others.set(name, eoi === null ? name : `${name} eoi='${eoi}'`);
    } else if (switched.includes(name)) others.set(name, `${name} state='${choice(feature, "state", onOff) ?? "on"}'`);
  }
  return {
    privnet,
    capabilities,
    others: featureNames.flatMap((name) => others.get(name) ?? []),
  };
}

/** null: nothing that differs from the defaults. A second element adds to the first. */
function readCapabilities(element: XmlElement, before: Capabilities | null): Capabilities | null {
  const policy = choice(element, "policy", ["default", "allow", "deny"] as const) ?? "default";
  const states = new Map((before?.states ?? []).map(({ name, on }) => [name, on]));
  for (const capability of elementsOf(element)) {
    if (!capabilityNames.includes(capability.name))
      throw unsupported(`unexpected capability feature '${capability.name}'`);
    states.set(capability.name, choice(capability, "state", onOff) !== "off");
  }
  const ordered = capabilityNames.flatMap((name) => {
    const on = states.get(name);
    return on === undefined ? [] : [{ name, on }];
  });
  return policy === "default" && ordered.length === 0 ? null : { policy, states: ordered };
}

const timers = ["platform", "pit", "rtc", "hpet", "tsc", "kvmclock", "hypervclock", "armvtimer"] as const;
const yesNo = ["yes", "no"] as const;

export function readClock(domain: XmlElement): Clock {
  const clock = first(domain, "clock");
  const named = filled(clock, "offset") ?? "utc";
  const adjustment = filled(clock, "adjustment");
  let offset: Clock["offset"];
  let attributes: Clock["attributes"] = {};
  switch (named) {
    case "utc":
    case "localtime":
      offset = named;
      if (adjustment === "reset") attributes = { adjustment };
      else if (adjustment !== null) {
        const seconds = signed(adjustment);
        if (seconds === null) throw xmlError(`unknown clock adjustment '${adjustment}'`);
        offset = "variable";
        attributes = { adjustment: `${seconds}`, basis: named };
      }
      break;
    case "variable": {
      const basis = filled(clock, "basis") ?? "utc";
      if (basis !== "utc" && basis !== "localtime") throw unsupported(`unknown clock basis '${basis}'`);
      offset = named;
      attributes = { adjustment: `${signed(adjustment ?? "") ?? 0n}`, basis };
      break;
    }
    case "timezone": {
      const timezone = filled(clock, "timezone");
      if (timezone === null) throw internalError("missing 'timezone' attribute for clock with offset='timezone'");
      offset = named;
      attributes = { timezone };
      break;
    }
    default:
      throw unsupported(`unknown clock offset '${named}'`);
  }
  const kept = all(domain, "clock", "timer").map((timer) => {
    const name = requiredChoice(timer, "name", timers);
    const present = choice(timer, "present", yesNo);
    return { name, present: present === null ? null : present === "yes" };
  });
  return { offset, attributes, timers: kept };
}

const lifecycle = ["destroy", "restart", "rename-restart", "preserve"] as const;
const crash = [...lifecycle, "coredump-destroy", "coredump-restart"] as const;

export interface Actions {
  readonly onReboot: CrashAction;
  readonly onPoweroff: CrashAction;
  readonly onCrash: CrashAction;
}

export function readActions(domain: XmlElement): Actions {
  const read = (event: string, fallback: CrashAction): CrashAction => {
    const text = textAt(domain, event);
    const found = crash.find((each) => each === text);
    if (text !== null && found === undefined) throw unsupported(`unknown ${event} action: ${text}`);
    return found ?? fallback;
  };
  return {
    onReboot: read("on_reboot", "restart"),
    onPoweroff: read("on_poweroff", "destroy"),
    onCrash: read("on_crash", "destroy"),
  };
}

/** Only a crash can dump core. */
export function checkAction(event: "poweroff" | "reboot", action: CrashAction): LifecycleAction {
  const found = lifecycle.find((each) => each === action);
  if (found === undefined) throw unsupported(`Lifecycle event '${event}' doesn't support '${action}' action`);
  return found;
}
