import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { checkStart } from "../../../../src/frontends/libvirt/spec/check-start.js";
import type { DomainDoc } from "../../../../src/frontends/libvirt/xml/domain.js";
import { domain, filesystem, withOs } from "../../../support/domain.js";
import { testDir } from "../../../support/paths.js";

function place(t: TestContext): { readonly root: string; readonly other: string } {
  const top = mkdtempSync(join(testDir, "islt-check-"));
  t.after(() => {
    rmSync(top, { recursive: true });
  });
  const [root, other] = [join(top, "root"), join(top, "other")];
  for (const directory of ["root/sbin", "root/etc", "other/tools"])
    mkdirSync(join(top, directory), { recursive: true });
  writeFileSync(join(root, "sbin/real"), "#!/bin/sh\n", { mode: 0o755 });
  writeFileSync(join(root, "etc/plain"), "");
  writeFileSync(join(other, "tools/init"), "#!/bin/sh\n", { mode: 0o755 });
  return { root, other };
}

async function fails(doc: DomainDoc, message: string): Promise<void> {
  await assert.rejects(checkStart(doc), { name: "LibvirtError", message });
}

describe("before a domain is started", () => {
  const inRoot = (root: string, os: Partial<DomainDoc["os"]>, changes: Partial<DomainDoc> = {}): DomainDoc =>
    withOs(os, { filesystems: [filesystem({ kind: "mount", dir: root }, "/")], ...changes });

  it("its init is looked for in its own root, never in the host's", async (t) => {
    const { root } = place(t);
    symlinkSync("/sbin/real", join(root, "sbin/init"));
    symlinkSync("../../../../../../etc/passwd", join(root, "sbin/out"));
    symlinkSync("loop", join(root, "sbin/loop"));
    await checkStart(inRoot(root, { init: "/sbin/init" }));
    const missing = (path: string): string =>
      `internal error: guest failed to start: cannot find init path '${path}' relative to container root: No such file or directory`;
    await fails(inRoot(root, { init: "/nope" }), missing("/nope"));
    await fails(inRoot(root, { init: "/bin/sh" }), missing("/bin/sh"));
    await fails(inRoot(root, { init: "/sbin/out" }), missing("/sbin/out"));
    await fails(inRoot(root, { init: "/sbin/loop" }), missing("/sbin/loop"));
  });

  it("an init that cannot be executed is refused, and a directory that is none", async (t) => {
    const { root } = place(t);
    await fails(
      inRoot(root, { init: "/etc/plain" }),
      "internal error: guest failed to start: cannot execute init path '/etc/plain' relative to container root: Permission denied",
    );
    chmodSync(join(root, "etc/plain"), 0o755);
    await checkStart(inRoot(root, { init: "/etc/plain" }));
    await fails(
      inRoot(root, { init: "/sbin/real", initDir: "/nope" }),
      "internal error: guest failed to start: cannot find init directory '/nope' relative to container root: No such file or directory",
    );
    await fails(
      inRoot(root, { init: "/sbin/real", initDir: "/etc/plain" }),
      "internal error: guest failed to start: cannot use init directory '/etc/plain' relative to container root: Not a directory",
    );
  });

  it("an init may lie in what is mounted below the root", async (t) => {
    const { root, other } = place(t);
    const mounted = {
      filesystems: [filesystem({ kind: "mount", dir: root }, "/"), filesystem({ kind: "mount", dir: other }, "/opt")],
    };
    await checkStart(inRoot(root, { init: "/opt/tools/init" }, mounted));
    await assert.rejects(checkStart(inRoot(root, { init: "/opt/real" }, mounted)), /cannot find init path/);
  });

  it("sources of filesystems and namespaces must be there", async () => {
    const missing = domain({ filesystems: [filesystem({ kind: "mount", dir: "/islt/nope" }, "/")] });
    await fails(
      missing,
      "internal error: guest failed to start: the source /islt/nope of the filesystem / does not exist",
    );
    const shares = (net: NonNullable<DomainDoc["namespaces"]>["net"]): DomainDoc =>
      domain({ namespaces: { net, ipc: null, uts: null } });
    await fails(
      shares({ type: "netns", value: "islt-nope" }),
      "failed to open netns islt-nope: No such file or directory",
    );
    await fails(shares({ type: "pid", value: "999999999" }), "failed to open ns sharenet: No such file or directory");
  });

  it("a partition must be there, and a security driver that is asked for", async () => {
    await fails(
      domain({ partition: "/islt-nope" }),
      "Failed to create controller cpu for group: No such file or directory",
    );
    const label = {
      type: "static",
      model: "smack",
      relabel: null,
      label: "x",
      baseLabel: null,
      imageLabel: null,
    } as const;
    await fails(
      domain({ seclabels: [label] }),
      "unsupported configuration: Security driver model 'smack' is not available",
    );
  });
});
