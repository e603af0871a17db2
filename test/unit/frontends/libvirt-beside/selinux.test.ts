import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { completeLabel, levelOf, readSelinux, usualLabel } from "../../../../src/frontends/libvirt/beside/selinux.js";
import { withNotedLabel, labelNote } from "../../../../src/frontends/libvirt/driver/labels.js";
import { domain } from "../../../support/domain.js";

const host = {
  process: "system_u:system_r:container_t:s0",
  file: "system_u:object_r:container_file_t:s0",
  daemon: "unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023",
  isEnforcing: true,
};
const none = new Set<string>();

/** Gives these numbers, one after another. */
function numbers(...given: readonly number[]): (below: number) => number {
  const left = [...given];
  return (below) => {
    const next = left.shift();
    assert.ok(next !== undefined && next < below);
    return next;
  };
}

/** A host's files below a directory. */
function files(t: TestContext, given: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), "islt-selinux-"));
  t.after(() => {
    rmSync(root, { recursive: true });
  });
  for (const [path, text] of Object.entries(given)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

const running = { "sys/fs/selinux/enforce": "1", "proc/self/attr/current": `${host.daemon}\0` };
const contexts = `# a comment\nprocess = "${host.process}"\n\ncontent = "x:y:z:s0"\nfile = "${host.file}"\n`;

describe("SELinux of a host", () => {
  it("is what its policy says of containers", (t) => {
    const root = files(t, {
      ...running,
      "etc/selinux/config": "SELINUX=enforcing\nSELINUXTYPE=default\n",
      "etc/selinux/default/contexts/lxc_contexts": contexts,
    });
    assert.deepEqual(readSelinux(root), host);
  });

  it("is not there without the kernel's file system, or where the policy knows no containers", (t) => {
    assert.equal(readSelinux(files(t, { "etc/selinux/targeted/contexts/lxc_contexts": contexts })), null);
    assert.equal(readSelinux(files(t, running)), null);
  });

  it("lacks what its file does not say", (t) => {
    const root = files(t, { ...running, "etc/selinux/targeted/contexts/lxc_contexts": `process = "a:b:c:s0"\n` });
    assert.throws(() => readSelinux(root), /cannot read 'file' value from selinux lxc contexts file .*lxc_contexts/);
  });
});

describe("a label that is made", () => {
  it("has two categories, and user and role of the daemon", () => {
    const { label, imageLabel } = completeLabel(usualLabel, host, none, numbers(700, 20));
    assert.equal(label, "unconfined_u:unconfined_r:container_t:s0:c20,c700");
    assert.equal(imageLabel, "unconfined_u:object_r:container_file_t:s0:c20,c700");
  });

  it("has neither the pair of another guest nor the same category twice", () => {
    const taken = new Set(["s0:c1,c2"]);
    const { label } = completeLabel(usualLabel, host, taken, numbers(2, 1, 5, 5, 1, 3));
    assert.equal(levelOf({ label }), "s0:c1,c3");
  });

  it("has a type of the document's own where that names one", () => {
    const given = { ...usualLabel, baseLabel: "system_u:system_r:special_t:s0" };
    assert.match(completeLabel(given, host, none, numbers(1, 2)).label ?? "", /:special_t:s0:c1,c2$/);
  });

  it("keeps to the categories that the daemon may use", () => {
    const few = { ...host, daemon: "u:r:t:s0:c100.c107" };
    assert.match(completeLabel(usualLabel, few, none, numbers(0, 7)).label ?? "", /:s0:c100,c107$/);
    const tooFew = { ...host, daemon: "u:r:t:s0:c100.c106" };
    assert.throws(() => completeLabel(usualLabel, tooFew, none, numbers()), /Category range c100-c106 too small/);
  });

  it("is of files alone where the document has the process's", () => {
    const given = { ...usualLabel, type: "static", label: "a:b:c:s0:c1,c9" } as const;
    const made = completeLabel(given, host, none, numbers());
    assert.deepEqual([made.label, made.imageLabel], [given.label, "unconfined_u:object_r:container_file_t:s0:c1,c9"]);
  });
});

describe("a running guest's label", () => {
  const made = completeLabel(usualLabel, host, none, numbers(1, 2));

  it("is told again by whoever reads its document anew", () => {
    const notes = labelNote(domain({ seclabels: [made] }));
    assert.deepEqual(withNotedLabel(domain({ seclabels: [] }), notes).seclabels, [made]);
    assert.deepEqual(withNotedLabel(domain({ seclabels: [usualLabel] }), notes).seclabels, [made]);
  });

  it("is none where none was made", () => {
    assert.deepEqual(labelNote(domain({ seclabels: [] })), {});
    assert.deepEqual(withNotedLabel(domain({ seclabels: [] }), {}).seclabels, []);
  });
});
