import { type Case, cases } from "./case.js";

/** lxc-create and lxc-destroy. */

const files = {
  "first.conf": "lxc.net.0.type = empty\nlxc.uts.name = first\n",
  "bad.conf": "lxc.net.0.type = empty\nlxc.bogus = 1\n",
  template:
    '#!/bin/sh\nfor word; do case $word in --rootfs=*) mkdir -p "${word#--rootfs=}/etc";; esac; done\necho template "$#"\n',
  failing: "#!/bin/sh\necho it fails >&2\nexit 4\n",
};
const config = "s=$?; cat store/islt-new/config 2>&1; exit $s";

const create: readonly Case[] = [
  ...cases(
    [
      "lxc-create -n islt-new",
      "lxc-create islt-new -t none",
      `lxc-create -n islt-new -t none -f first.conf; ${config}`,
      `lxc-create -n islt-new -t busybox -f first.conf; ${config}`,
      `lxc-create -n islt-new -t busybox -f /dev/null -- --help`,
      [`lxc-create -n islt-new -t busybox -f /dev/null -- --bogus`, "own-words"],
      `chmod +x template; lxc-create -n islt-new -t $PWD/template -f first.conf; ${config}`,
      `chmod +x template; lxc-create -n islt-new -t $PWD/template -f first.conf -- one two; ${config}`,
      `chmod +x template; lxc-create -n islt-new -t $PWD/template -f first.conf -q; ${config}`,
      `chmod +x template; lxc-create -n islt-new -t $PWD/template -f first.conf --dir $PWD/root; ${config}`,
      `chmod +x template; lxc-create -n islt-new -t $PWD/template -f first.conf -B dir; ${config}`,
      [`chmod +x template; lxc-create -n islt-new -t $PWD/template -f first.conf -B best; ${config}`, "create-best"],
      ["chmod +x failing; lxc-create -n islt-new -t $PWD/failing -f first.conf", "says-why"],
      "chmod +x failing; lxc-create -q -n islt-new -t $PWD/failing -f first.conf",
      ["chmod +x template; lxc-create -t $PWD/template -h", "help"],
      ["chmod +x template; lxc-create -h -t $PWD/template", "create-help"],
      ["lxc-create -n islt-new -t $PWD/missing -f first.conf", "says-why"],
      ["lxc-create -n islt-new -t ./template -f first.conf", "says-why"],
      ["lxc-create -n islt-new -t nosuch -f first.conf", "says-why"],
      "lxc-create -n islt-web -t none",
      "lxc-create -n islt-web",
      [`lxc-create -n islt-new -t none -f missing.conf; ${config}`, "create-config"],
      [`lxc-create -n islt-new -t none -f bad.conf; ${config}`, "create-config"],
      [`lxc-create -n islt-new -t none -f .; ${config}`, "create-config"],
      "lxc-create -n islt-new -t none -B nosuch",
      "lxc-create -n islt-new -t none -B none -f first.conf",
      "lxc-create -n islt-new -t none --dir relative",
      [
        "chmod +x template; lxc-create -n islt-new -t $PWD/template -f first.conf --dir /proc/nowhere/x",
        "create-rootfs",
      ],
      "lxc-create -n islt-new -t none --lvname x",
      "lxc-create -n islt-new -t none --vgname x -B dir",
      "lxc-create -n islt-new -t none --thinpool x",
      "lxc-create -n islt-new -t none --rbdname x",
      "lxc-create -n islt-new -t none --rbdpool x",
      "lxc-create -n islt-new -t none --zfsroot x",
      "lxc-create -n islt-new -t none --fstype ext4",
      "lxc-create -n islt-new -t none --fssize 1G",
      ["lxc-create -n islt-new -t none -B lvm --fssize x", "create-storage"],
      ["lxc-create -n islt-new -t none -B loop --fssize 10Q", "create-storage"],
      "mkdir store/islt-new; lxc-create -n islt-new -t none -f first.conf; ls store/islt-new",
      [
        "mkdir -p store/islt-new/mine; lxc-create -n islt-new -t none -f first.conf; ls store/islt-new",
        "create-directory",
      ],
      [
        "mkdir -p store/islt-new/mine; chmod +x failing; lxc-create -n islt-new -t $PWD/failing -f first.conf; ls store/islt-new",
        "create-directory",
      ],
      "lxc-create -n islt-new -t none -f first.conf -- some words",
      "lxc-create -n islt-new -t none -f first.conf more",
    ],
    { files },
  ),
  ...cases(["lxc-create -n islt-web -t none"], { given: "running" }),
];

const destroy: readonly Case[] = [
  ...cases([
    "lxc-destroy islt-web",
    "lxc-destroy -n islt-web -f",
    "lxc-destroy -n islt-web -s",
    "lxc-destroy -n islt-web more",
  ]),
  ...cases(
    [
      "lxc-destroy islt-web",
      "lxc-destroy -q islt-web",
      "lxc-destroy -n islt-web -f",
      "lxc-destroy -n islt-web -s",
      "lxc-destroy -n islt-web -fs",
    ],
    {
      given: "running",
    },
  ),
  ...cases(["lxc-destroy islt-web", "lxc-destroy -n islt-web --force"], { given: "frozen" }),
  ...cases(["lxc-destroy -n islt-old", "lxc-destroy -f islt-old"], {
    differs: ["destroy-ephemeral"],
    containers: { "islt-old": "lxc.ephemeral = 1\nlxc.net.0.type = empty\n" },
  }),
  ...cases([["lxc-destroy -n islt-old", "own-words"]], {
    containers: { "islt-old": "lxc.hook.destroy = /bin/false\nlxc.net.0.type = empty\n" },
  }),
  ...cases(["lxc-destroy -n islt-old", "lxc-destroy -n islt-old -s"], {
    containers: { "islt-old": "lxc.rootfs.path = dir:/proc/nowhere/rootfs\n" },
  }),
  ...cases(
    [
      "mkdir store/islt-old/snaps; lxc-destroy -n islt-old",
      ["mkdir -p store/islt-old/snaps/snap0; lxc-destroy -n islt-old", "says-why"],
      [
        "mkdir -p store/islt-old/snaps/snap0; echo > store/islt-old/snaps/snap0/config; lxc-destroy -n islt-old; lxc-destroy -s -n islt-old",
        "says-why",
      ],
    ],
    {
      containers: { "islt-old": "lxc.net.0.type = empty\n" },
    },
  ),
  ...cases(
    [
      ["echo 1 > store/islt-old/lxc_snapshots; lxc-destroy -n islt-old", "says-why"],
      "lxc-destroy -n islt-old; lxc-destroy -n islt-old",
    ],
    {
      containers: { "islt-old": "lxc.net.0.type = empty\n" },
    },
  ),
  ...cases(["mkdir store/islt-dir; lxc-destroy -n islt-dir"]),
];

export const makeCases: readonly Case[] = [...create, ...destroy];
