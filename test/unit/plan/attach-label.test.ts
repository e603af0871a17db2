import assert from "node:assert/strict";
import { test } from "node:test";
import { type AttachRequest, type AttachTarget, planAttach } from "../../../src/plan/attach.js";
import { explainProgram } from "../../../src/program/explain.js";
import { hostFacts } from "../../support/facts.js";

const target: AttachTarget = {
  namespaces: ["mount", "pid"],
  userNamespace: false,
  capabilities: { kind: "drop", capabilities: [] },
  noNewPrivileges: false,
  seccomp: null,
  personality: null,
  apparmor: "lxc-web",
  selinux: "u:r:container_t:s0:c1,c2",
  legacyCgroups: [],
  unifiedCgroup: null,
};
const request: AttachRequest = {
  argv: ["/bin/true"],
  environment: [],
  cwd: "/",
  uid: 0,
  gid: 0,
  namespaces: null,
  joinCgroup: false,
  dropCapabilities: true,
  confine: true,
  selinuxContext: null,
  remountSysProc: false,
  personality: null,
  terminals: [false, false, false],
  withLog: false,
};

/** What is opened and what is written for the label. */
function labelling(
  lsm: { readonly apparmor: boolean; readonly selinux: boolean },
  change: Partial<AttachRequest> = {},
  of: AttachTarget = target,
): readonly string[] {
  const text = explainProgram(planAttach(of, { ...request, ...change }, { ...hostFacts("v2"), lsm }));
  return [
    ...(/\/proc\/thread-self\/attr\/[a-z/]+/.exec(text) ?? []),
    ...(/set the label (\S+)/.exec(text)?.slice(1) ?? []),
  ];
}

test("what lxc-attach runs has the container's label of the module that the host has", () => {
  const selinux = { apparmor: false, selinux: true };
  const file = "/proc/thread-self/attr/exec";
  assert.deepEqual(labelling(selinux), [file, "u:r:container_t:s0:c1,c2"]);
  assert.deepEqual(labelling(selinux, { selinuxContext: "a:b:c" }), [file, "a:b:c"]);
  assert.deepEqual(labelling({ apparmor: true, selinux: false }), ["/proc/thread-self/attr/apparmor/exec", "lxc-web"]);
});

test("it has none where there is none, where nobody looks at it, or when it is not to be confined", () => {
  const selinux = { apparmor: false, selinux: true };
  const { selinux: _, ...unlabelled } = target;
  assert.deepEqual(labelling(selinux, {}, unlabelled), []);
  assert.deepEqual(labelling({ apparmor: false, selinux: false }), []);
  assert.deepEqual(labelling(selinux, { confine: false }), []);
});
