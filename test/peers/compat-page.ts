import { type Difference, differences } from "./differences.js";

/** docs/compat/lxc.md: what is compared and how, by hand; every difference, from the data that the comparison checks. */

const head = `# islet and LXC

<!-- Made by \`node scripts/docs.mjs\` from test/peers/compat-page.ts and test/peers/differences.ts; change it there. -->

The \`lxc-*\` commands of islet stand in for those of LXC: scripts, habits, containers and their configurations go on as they are. What that
means is measured against **LXC 5.0.2 as Debian 12 has it**. \`test/peers/side-by-side.test.ts\` runs some thousand command lines twice, once
with Debian's tools and once with islet's, each on a store of its own with equal containers: stopped, running and frozen, plain use of every
option and the ways in which it goes wrong. Standard output, standard error, exit status, and what is there afterwards (the container's
state, its configuration, the store, the files written) have to be the same. A difference that is not listed here fails the test, and so does
one that is listed and does not show any more.

## The principle

What can be observed counts: names, files, output, exit statuses. A script that works with LXC works with islet. Where LXC is silent, loses
data, hangs or says that something was done which was not, islet

- adds the missing line on standard error, where nobody parses, and
- does the safe thing, with an exit status that says so.

Standard output and exit status of what succeeds are LXC's, byte for byte, but for the rows below. For programs there is \`--format json\`
beside the tables.

## How the comparison reads

The outputs are made comparable in these ways only: the working directories, the names of the containers (each side has its own) and the process
numbers of the containers' first processes are given one name; LXC's \`../src/lxc/FILE.c: FUNCTION: LINE\` in front of a message is dropped;
so are the amounts in "CPU use", "Memory use" and in lxc-ls's columns of megabytes, and the second carriage return that LXC leaves at the end
of a line on a terminal. A few cases hide a number of their own (a process number, a time), which stands with the case.

Where "the same messages" are said to be there, each line of LXC's is one of islet's or part of one, in the same order; the words of errno that LXC
sometimes puts before a message are no part of it.
`;

const tail = `## Commands without a counterpart

Debian's LXC has no more \`lxc-clone\`, \`lxc-kill\`, \`lxc-list\`, \`lxc-netstat\`, \`lxc-ps\`, \`lxc-shutdown\`, \`lxc-start-ephemeral\` and
\`lxc-version\`, which LXC 0.7 to 1.1 had, nor Ubuntu's \`lxc-backup\` and \`lxc-restore\`. islet has them as the documentation of those releases describes them; there is nothing to compare them with.

## What no comparison shows

| where | LXC | islet |
|---|---|---|
| lxc-autostart \`-s\`, \`-k\` | stops one container after the other | stops containers of the same \`lxc.start.order\` at the same time |
| lxc-copy of a container whose own directory has the files of an \`lxc.include\`, or a seccomp policy | the copy uses the original's | they are copied, as hooks and the fstab are |
| lxc-copy -R | copies everything, then destroys the original; refuses while there are snapshots | renames the directory; refuses for snapshots and for copies that need it, which are named |
| lxc-copy -s of an overlay | the copy protects the one that it was copied from, whose files it does not need | protects those whose files it needs |
| lxc-copy -e -t | mounts the tmpfs by a hook script | \`islet.rootfs.upper = tmpfs\`, with \`lxc.rootfs.managed = 0\` so that no tool removes the original |
| LXC's own clonehostname | writes the new name into other names, too: \`localcopy\` for localhost in a copy of \`host\` | only where the old name stands by itself or in a domain name |
| lxc-snapshot, clone hooks | run them: LXC's own clonehostname writes the name snap0 into the snapshot's etc/hosts, and back at a restore | are not run for a snapshot, which is what the container was; at a restore they are told that snap0 becomes the container |
| lxc-snapshot -r | destroys the container, then copies the snapshot | puts the new one together first, then they change places; refuses where a snapshot needs the volume or data set that would go, which LXC destroys |
| lxc-destroy -s | fails if there are clones | removes them, in the right order; a running one needs \`-f\` |
| lxc-destroy of a stopped container with \`lxc.ephemeral = 1\` | says nothing and leaves it | removes it |
| lxc-device | follows links in the container's /dev as it finds them | follows none: a guest cannot lead it elsewhere. A container with an id map is refused, for device nodes have no effect in it |
| lxc-user-nic | is setuid root | asks the daemon, which has to run, or to be started by a service manager |
| lxc-user-nic \`create\` | counts a user's nics on all bridges together | counts those on the bridge, as lxc-usernet(5) says |
| lxc-user-nic \`create\` | forgets nics that are there when it drops those that are gone, and leaves a nic it could not rename on the bridge | keeps the accounts of what is there, and leaves nothing of a nic that could not be made |
| lxc-user-nic \`create\` with a name that has a \`%\` in it, or an empty one | replaces \`%d\`; the nic keeps a passing name | refuses it |
| lxc-user-nic \`delete\` | takes away ports of Open vSwitch alone | takes away nics on bridges of the kernel's, and of them only those whose inner end is in the namespace named |
| lxc-user-nic, users and groups | as the process has them, by all of nsswitch.conf(5) | as /etc/passwd and /etc/group have them |
| lxc-usernet(5): a line that is none | passed over | told to whoever is refused a nic |
| lxc-checkconfig | looks for the kernel's configuration in /proc and /boot | in /lib/modules, too |
| two nics on one link, or two running containers, with the same \`hwaddr\` or static address | both start, and neither works | refused; the line names the other |
| a static address that is the bridge's own, its network's or its broadcast address | starts | refused |
| a static address outside the bridge's networks | starts | starts, and says so on standard error |
| \`lxc.net.N.type = phys\` with the interface that has the host's only default route | the host is cut off | refused |
| the monitor of a container with a \`phys\` nic is killed | a virtual interface is lost, a real one comes back under the name that it had inside | comes back under its old name |

## Not there yet

- \`lxc-checkpoint\`, \`lxc-restart\`, \`lxc-setcap\`, \`lxc-setuid\`, \`lxc-unpriv-start\` and \`lxc-unpriv-attach\`: the names are there and say so.
- Root file systems on nbd and rbd.
- A bridge of Open vSwitch as \`lxc.net.N.link\` of a veth: refused at the start as no bridge.

## Configurations

islet reads what LXC 0.7 to 7.0 wrote; [the reference](../reference/lxc-config.md) has every key with the releases that know it, and ends
with what is done differently. Known limits:

- A key that no release has, and a value that cannot be, make the whole file unusable, as with LXC; all faults are told at once, each with
  file and line.
- A cgroup setting whose controller the host does not have is an error at the start that names the line, since nobody would keep the limit.
- Settings of cgroup v1 are translated on a host that has the controller on v2, and the other way round, where a translation exists; otherwise
  it is an error that says so.
`;

const cell = (text: string): string => text.replaceAll("|", "\\|");

function table(rows: readonly Difference[]): string {
  const lines = rows.map(({ when, lxc, islet, why }) => `| ${[when, lxc, islet, why].map(cell).join(" | ")} |`);
  return ["| when | LXC | islet | why |", "|---|---|---|---|", ...lines, ""].join("\n");
}

/** The page: differences of all commands first, then command by command. One that several commands have stands with each. */
export function compatPage(): string {
  const commands = [...new Set(differences.flatMap((each) => each.commands))].filter((name) => name !== "*").sort();
  const everywhere = differences.filter((each) => each.commands.includes("*"));
  const sections = commands.map((name) => {
    const rows = differences.filter((each) => each.commands.includes(name));
    return `### lxc-${name}\n\n${table(rows)}`;
  });
  return [head, "## All commands\n", table(everywhere), "## Command by command\n", ...sections, tail].join("\n");
}
