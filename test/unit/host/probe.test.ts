import assert from "node:assert/strict";
import { test } from "node:test";

import { cgroupLayout, isSince, probeHost } from "../../../src/host/probe.js";

/** Texts of /proc/self/mountinfo and /proc/self/cgroup as hosts of each kind have them. */
const nothing = (): string => "";

test("a pure v2 host has one hierarchy with the controllers of its root", () => {
  const mountinfo = `22 27 0:20 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
29 22 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
`;
  const asked: string[] = [];
  const layout = cgroupLayout(mountinfo, "0::/user.slice/user-0.slice/session-4.scope\n", (path) => {
    asked.push(path);
    return "cpuset cpu io memory hugetlb pids rdma";
  });
  assert.deepEqual(asked, ["/sys/fs/cgroup/cgroup.controllers"]);
  assert.deepEqual(layout, {
    unified: {
      mount: "/sys/fs/cgroup",
      controllers: ["cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma"],
      own: "/user.slice/user-0.slice/session-4.scope",
    },
    legacy: [],
  });
});

test("a hybrid host of systemd's kind has controllers mounted together, a named hierarchy, and v2 beside them", () => {
  const mountinfo = `25 22 0:22 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:9 - tmpfs tmpfs ro,mode=755
26 25 0:23 / /sys/fs/cgroup/unified rw,nosuid,nodev,noexec,relatime shared:10 - cgroup2 cgroup2 rw,nsdelegate
27 25 0:24 / /sys/fs/cgroup/systemd rw,nosuid,nodev,noexec,relatime shared:11 - cgroup cgroup rw,xattr,name=systemd
30 25 0:27 / /sys/fs/cgroup/net_cls,net_prio rw,nosuid,nodev,noexec,relatime shared:15 - cgroup cgroup rw,net_cls,net_prio
31 25 0:28 / /sys/fs/cgroup/cpuset rw,nosuid,nodev,noexec,relatime shared:16 - cgroup cgroup rw,cpuset,clone_children
32 25 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid,nodev,noexec,relatime shared:17 - cgroup cgroup rw,cpu,cpuacct
`;
  const membership = `5:net_cls,net_prio:/
4:cpuset:/
3:cpu,cpuacct:/user.slice
1:name=systemd:/user.slice/user-0.slice/session-4.scope
0::/user.slice/user-0.slice/session-4.scope
`;
  assert.deepEqual(cgroupLayout(mountinfo, membership, nothing), {
    unified: { mount: "/sys/fs/cgroup/unified", controllers: [], own: "/user.slice/user-0.slice/session-4.scope" },
    legacy: [
      {
        mount: "/sys/fs/cgroup/systemd",
        controllers: ["name=systemd"],
        own: "/user.slice/user-0.slice/session-4.scope",
      },
      { mount: "/sys/fs/cgroup/net_cls,net_prio", controllers: ["net_cls", "net_prio"], own: "/" },
      { mount: "/sys/fs/cgroup/cpuset", controllers: ["cpuset"], own: "/" },
      { mount: "/sys/fs/cgroup/cpu,cpuacct", controllers: ["cpu", "cpuacct"], own: "/user.slice" },
    ],
  });
});

test("a v1 host without systemd has a hierarchy per controller and nothing unified; a release agent is no controller", () => {
  const mountinfo = `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
33 31 0:30 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory,release_agent=/run/agent
`;
  assert.deepEqual(cgroupLayout(mountinfo, "2:memory:/a/b\n1:cpu:/\n", nothing), {
    unified: null,
    legacy: [
      { mount: "/sys/fs/cgroup/cpu", controllers: ["cpu"], own: "/" },
      { mount: "/sys/fs/cgroup/memory", controllers: ["memory"], own: "/a/b" },
    ],
  });
});

test("kernels whose weights of block io are BFQ's alone show its statistics at the root, and no weight", () => {
  const mountinfo = "32 31 0:29 / /sys/fs/cgroup/blkio rw,relatime - cgroup cgroup rw,blkio\n";
  const weights = (files: readonly string[]): true | undefined =>
    cgroupLayout(mountinfo, "1:blkio:/\n", (path) => (files.includes(path) ? "Total 0" : "")).legacy[0]?.hasBfqWeights;
  const [bfq, cfq] = ["/sys/fs/cgroup/blkio/blkio.bfq.io_serviced", "/sys/fs/cgroup/blkio/blkio.weight"];
  assert.deepEqual([weights([bfq]), weights([bfq, cfq]), weights([])], [true, undefined, undefined]);
});

test("of several mounts of one hierarchy the first counts; blanks in paths and optional fields are understood", () => {
  const mountinfo = `40 1 0:29 / /sys/fs/my\\040cgroup rw shared:1 master:2 propagate_from:3 - cgroup cgroup rw,cpu
41 1 0:29 / /elsewhere rw - cgroup cgroup rw,cpu
42 1 0:30 / /sys/fs/cgroup rw - cgroup2 none rw
43 1 0:30 / /var/lib/other/cgroup rw - cgroup2 none rw
`;
  const layout = cgroupLayout(mountinfo, "0::/\n1:cpu:/with:colon\n", nothing);
  assert.deepEqual(layout.legacy, [{ mount: "/sys/fs/my cgroup", controllers: ["cpu"], own: "/with:colon" }]);
  assert.equal(layout.unified?.mount, "/sys/fs/cgroup");
});

test("no cgroups at all is a layout, too", () => {
  assert.deepEqual(cgroupLayout("22 27 0:20 / /sys rw - sysfs sysfs rw\n", "", nothing), { unified: null, legacy: [] });
});

test("this machine can be probed, and what is found is of this machine", () => {
  const facts = probeHost("/run/islt");
  assert.equal(facts.runtimeDir, "/run/islt");
  assert.ok(facts.lastCapability >= 38 && facts.lastCapability < 64);
  assert.ok(
    ["mount", "pid", "net", "uts", "ipc"].every((kind) => facts.namespaces.includes(kind)),
    facts.namespaces.join(),
  );
  assert.match(facts.cpus, /^\d+([-,]\d+)*$/);
});

test("a kernel's release says whether it has what came with a version", () => {
  for (const release of ["6.7.0", "6.18.44-fc", "7.0", "10.1-rc1"]) assert.equal(isSince(release, 6, 7), true, release);
  for (const release of ["6.6.99", "5.15.0-generic", "", "4.19"]) assert.equal(isSince(release, 6, 7), false, release);
});
