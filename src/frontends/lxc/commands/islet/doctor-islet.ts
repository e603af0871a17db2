import { showFault } from "../../../../base/source.js";
import { shortBytes } from "../look.js";
import type { DoctorFacts, Finding, IsletState, Section, StoreState } from "./doctor-facts.js";
import { bad, ok } from "./doctor-kernel.js";

/** islet itself, and the containers. */

const octal = (mode: number): string => (mode & 0o7777).toString(8).padStart(4, "0");

function daemon(islet: IsletState): readonly Finding[] {
  const again = `kill ${islet.daemonPid}; containers go on running, and the next command starts the daemon that belongs to it`;
  const what = `islet ${islet.version}, the daemon is process ${islet.daemonPid}`;
  const problems: Finding[] = [];
  if (islet.clientBinary !== null && islet.clientBinary !== islet.daemonBinary)
    problems.push(
      bad(
        "warning",
        `this command is ${islet.clientBinary}, the daemon belongs to ${islet.daemonBinary}`,
        "commands do what the other installation does",
        again,
      ),
    );
  else if ((islet.installedVersion !== null && islet.installedVersion !== islet.version) || islet.isOutdated)
    problems.push(
      bad(
        "warning",
        islet.installedVersion !== null && islet.installedVersion !== islet.version
          ? `islet ${islet.installedVersion} is installed, but the daemon that runs is ${islet.version}`
          : "islet was installed anew since the daemon started",
        "commands still do what the older one does",
        again,
      ),
    );
  return problems.length > 0 ? problems : [ok(what)];
}

function places(islet: IsletState): readonly Finding[] {
  const findings: Finding[] = [];
  const { runtimeDir, monitorDir, socket } = islet;
  if ((runtimeDir.mode & 0o022) !== 0)
    findings.push(
      bad(
        "error",
        `${runtimeDir.path} has mode ${octal(runtimeDir.mode)}: others may put their own socket there`,
        "whoever does so gets the commands of root",
        `chmod 0711 ${runtimeDir.path}`,
      ),
    );
  if (runtimeDir.uid !== 0)
    findings.push(
      bad(
        "error",
        `${runtimeDir.path} belongs to user ${runtimeDir.uid}`,
        "that user can take the place of the daemon",
        `chown root:root ${runtimeDir.path}`,
      ),
    );
  for (const [one, wanted, who] of [
    [monitorDir, "0700", "others reach the consoles of containers"],
    [socket, "0600", "others may try to connect; the daemon refuses them"],
  ] as const)
    if (one !== null && (one.mode & 0o077) !== 0)
      findings.push(bad("error", `${one.path} has mode ${octal(one.mode)}`, who, `chmod ${wanted} ${one.path}`));
  return findings.length > 0 ? findings : [ok(`${runtimeDir.path}: only root reaches its sockets`)];
}

/** Of lxc-usernet(5). */
function users({ nicGrants: { grants, faults }, runtimeDir }: IsletState): readonly Finding[] {
  const wrong = faults.map((fault) =>
    bad(
      "warning",
      showFault(fault),
      "the line gives nobody a nic",
      "correct it; docs/reference/commands/lxc-user-nic.md",
    ),
  );
  if (grants.length === 0) return wrong;
  const lines = grants.length === 1 ? "one line" : `${grants.length} lines`;
  return [
    ok(`users who are not root may ask for nics at ${runtimeDir.path}/user, by ${lines} of lxc-usernet`),
    ...wrong,
  ];
}

export function isletSection({ islet }: Pick<DoctorFacts, "islet">): Section {
  const findings = [...daemon(islet), ...places(islet), ...users(islet)];
  if (islet.deadSockets.length > 0)
    findings.push(
      bad(
        "warning",
        `${islet.deadSockets.length} sockets of monitors that are gone`,
        "they take room; a monitor that was killed left them",
        `rm ${islet.deadSockets.join(" ")}`,
      ),
    );
  if (islet.lxcMonitors.length > 0) {
    const names = islet.lxcMonitors.map(({ name }) => name);
    findings.push(
      bad(
        "warning",
        `LXC's own monitors run ${names.length === 1 ? "a container" : `${names.length} containers`}: ${names.join(", ")}`,
        "islet does not see that they run, and cannot stop them",
        "stop them with the LXC that started them (/usr/bin/lxc-stop), then start them with islet; systemctl disable lxc.service, if it starts them at boot",
      ),
    );
  }
  return { title: "islet", findings };
}

function flags(store: StoreState): readonly Finding[] {
  const { mount } = store;
  if (mount === null) return [];
  const remount = (option: string): string =>
    `mount -o remount,${option} ${mount.point}, and the same in /etc/fstab; or keep containers elsewhere: lxc.lxcpath in /etc/lxc/lxc.conf`;
  const rows = [
    ["noexec", "error", "no container can start: its init cannot be executed", "exec"],
    ["ro", "error", "no container can be made or changed", "rw"],
    ["nosuid", "warning", "programs of guests do not change their user: su, sudo, ping fail", "suid"],
    ["nodev", "warning", "device nodes in root file systems do not work", "dev"],
  ] as const;
  return rows.flatMap(([option, level, effect, without]) =>
    mount.options.includes(option)
      ? [bad(level, `${store.path} is on ${mount.point}, mounted ${option}`, effect, remount(without))]
      : [],
  );
}

const tightShare = 0.05;

function space({ freeBytes, freeShare, path }: StoreState): readonly Finding[] {
  if (freeBytes === null || freeShare === null) return [];
  const what = `${shortBytes(freeBytes)} free for ${path}`;
  if (freeShare >= tightShare) return [ok(what)];
  return [
    bad(
      "warning",
      what,
      "guests fail in many ways when it is full",
      "remove what is not needed, or give the file system room",
    ),
  ];
}

function containers(store: StoreState): readonly Finding[] {
  const findings: Finding[] = [];
  let sound = 0;
  for (const { name, faults, missingLinks, missingRootfs } of store.containers) {
    if (faults.length + missingLinks.length === 0 && missingRootfs === null) sound += 1;
    for (const fault of faults)
      findings.push(
        bad("warning", fault, `${name} cannot start`, "correct the line; docs/reference/lxc-config.md has the keys"),
      );
    for (const link of missingLinks)
      findings.push(
        bad(
          "warning",
          `${name} wants the interface ${link}, which this host does not have`,
          `${name} cannot start`,
          link === "lxcbr0"
            ? 'USE_LXC_BRIDGE="true" in /etc/default/lxc-net (then a start makes it, or islet net up), or lxc.net.N.type = empty'
            : `make it (ip link add ${link} type bridge; ip link set ${link} up), or name another in lxc.net.N.link`,
        ),
      );
    if (missingRootfs !== null)
      findings.push(
        bad(
          "warning",
          `${name}: its root file system ${missingRootfs} is missing`,
          `${name} cannot start`,
          `mount it, correct lxc.rootfs.path, or remove the container: lxc-destroy -P ${store.path} -n ${name}`,
        ),
      );
  }
  for (const { name, isAlive } of store.partial)
    findings.push(
      isAlive
        ? bad("note", `${name} is being created`, "until then it cannot be used", "wait")
        : bad(
            "warning",
            `${name} is half made: whoever created it is gone`,
            "its name is taken, its room is used",
            `lxc-destroy -P ${store.path} -n ${name}`,
          ),
    );
  if (sound > 0)
    findings.unshift(ok(sound === 1 ? "1 container without faults" : `${sound} containers without faults`));
  return findings;
}

export function storeSection({ store }: Pick<DoctorFacts, "store">): Section {
  const { mount } = store;
  if (mount === null)
    return {
      title: "Containers",
      findings: [
        bad(
          "note",
          `${store.path} does not exist`,
          "there are no containers in it",
          `the first lxc-create makes it${store.path === "/var/lib/lxc" ? "" : "; -P names another directory"}`,
        ),
      ],
    };
  const found = flags(store);
  return {
    title: "Containers",
    findings: [
      ...(found.length > 0 ? found : [ok(`${store.path} (${mount.type} on ${mount.point})`)]),
      ...space(store),
      ...containers(store),
    ],
  };
}
