import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { lacks } from "../support/skip.js";
import { screen, type Screen } from "../support/tmux.js";
import { guests, type Guest } from "./guest.js";

/** Sessions as a user has them: a shell under a terminal (tmux), keys typed into it, and what can be seen. */
describe("a session under a terminal", () => {
  const { define } = guests();

  /** A container with shells on the console and tty1. */
  const withShells = (name: string): Guest => {
    const guest = define(name, "lxc.environment = PS1=guest#\n");
    writeFileSync(
      join(guest.rootfs, "etc/inittab"),
      "::sysinit:/etc/init.d/rcS\ntty1::respawn:/bin/sh\nconsole::respawn:/bin/sh\n",
    );
    return guest;
  };

  /** Whatever ran in it, the shell is back and its terminal is as it was before. */
  const isSane = async (user: Screen): Promise<void> => {
    await user.line("clear; test $before = $(stty -g) && echo as-before");
    await user.shows(/^as-before\nhost>$/);
  };

  /** Size and Control-C go to the guest. */
  const worksAsTerminal = async (user: Screen): Promise<void> => {
    await user.line("stty size");
    await user.shows(/^30 100$/m);
    await user.resize(91, 27);
    await user.line("stty size");
    await user.shows(/^27 91$/m);
    await user.line('sh -c "echo begun; exec sleep 1000"; echo status-$?');
    await user.shows(/^begun$/m);
    await user.keys("C-c");
    // busybox's shell does not go on with the line, others do.
    await user.shows(/^\^C(\nstatus-130)?\nguest#$/m);
  };

  const begun = async (t: TestContext): Promise<Screen | null> => {
    if (lacks(t, "tmux")) return null;
    const user = await screen(t, 100, 30);
    await user.line("before=$(stty -g)");
    return user;
  };

  it("lxc-console: the guest has the terminal's size and keys; Control-A q leaves, and the terminal is as before", async (t) => {
    const user = await begun(t);
    if (user === null) return;
    const guest = withShells("tmux-console");
    await guest.start();
    await user.line(`lxc-console ${guest.at.join(" ")} -t 1; echo left-$?`);
    await user.shows(
      /^Connected to tty 1\nType <Ctrl\+a q> to exit the console, <Ctrl\+a Ctrl\+a> to enter Ctrl\+a itself\n/m,
    );
    await user.keys("Enter");
    await user.shows(/^guest#$/m);
    await worksAsTerminal(user);
    await user.keys("C-a", "q");
    await user.shows(/left-0\nhost>$/);
    await isSane(user);
  });

  it("lxc-console: the escape key twice sends it once, and another key may be the escape key", async (t) => {
    const user = await begun(t);
    if (user === null) return;
    const guest = withShells("tmux-escape");
    await guest.start();
    await user.line(`lxc-console ${guest.at.join(" ")} -t 1 -e ^b; echo left-$?`);
    await user.shows(/^Type <Ctrl\+b q> to exit/m);
    // Literally, whatever the shell's line editor makes of the keys.
    await user.line("stty raw -echo; dd bs=1 count=2 2>/dev/null | od -An -c; stty sane");
    await user.keys("C-a", "C-b", "C-b");
    await user.shows(/^ *001 +002$/m);
    await user.keys("C-b", "q");
    await user.shows(/left-0\nhost>$/);
    await isSane(user);
  });

  it("lxc-console ends when the container is killed, and the terminal is as before", async (t) => {
    const user = await begun(t);
    if (user === null) return;
    const guest = withShells("tmux-killed");
    await guest.start();
    await user.line(`lxc-console ${guest.at.join(" ")} -t 1; echo left-$?`);
    await user.shows(/guest#$/);
    await guest.kill();
    await user.shows(/left-0\nhost>$/);
    await isSane(user);
  });

  it("lxc-start -F: keys, Control-C among them, and size go to the console; it ends with the container", async (t) => {
    const user = await begun(t);
    if (user === null) return;
    const guest = withShells("tmux-front");
    await user.line(`lxc-start ${guest.at.join(" ")} -F; echo left-$?`);
    await user.shows(/^guest#$/m);
    await worksAsTerminal(user);
    // The escape key of lxc-console is nothing special here.
    await user.keys("C-a", "q", "C-u");
    await user.keys("C-c");
    assert.equal(await guest.state(), "RUNNING");
    await user.line("exec poweroff -f");
    await user.shows(/left-0\nhost>$/);
    assert.equal(await guest.state(), "STOPPED");
    await isSane(user);
  });

  it("lxc-attach: the shell inside has the terminal's size and job control, and its status comes back", async (t) => {
    const user = await begun(t);
    if (user === null) return;
    const guest = withShells("tmux-attach");
    await guest.start();
    await user.line(`lxc-attach ${guest.at.join(" ")} -v PS1=guest# -- /bin/sh; echo left-$?`);
    await user.shows(/^guest#$/m);
    await worksAsTerminal(user);
    await user.line("exit 7");
    await user.shows(/left-7\nhost>$/);
    await isSane(user);
  });
});
