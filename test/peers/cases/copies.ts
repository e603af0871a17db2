import { type Case, cases } from "./case.js";

/** lxc-copy and lxc-snapshot. */

const containers = { "islt-one": "@own\n" };
const config = "s=$?; cat store/islt-copy/config; exit $s";
const state = "lxc-info -n islt-copy -s";
const files = { comment: "why it is kept\n" };
/** Made of the container's own file. */
const rcfile = "{ cat store/islt-one/config; echo lxc.tty.max = 3; } > rc";

const copy: readonly Case[] = cases(
  [
    `lxc-copy -n islt-one -N islt-copy; ${config}`,
    `lxc-copy islt-one -N islt-copy; ${config}`,
    `lxc-copy -n islt-one -N islt-copy -s; ${config}`,
    `lxc-copy -n islt-one -N islt-copy -s -B overlay; ${config}`,
    ["lxc-copy -n islt-one -N islt-copy -s -B dir", "says-why"],
    `lxc-copy -n islt-one -N islt-copy -B dir; ${config}`,
    ["lxc-copy -n islt-one -N islt-copy -B best", "copy-kind"],
    ["lxc-copy -n islt-one -N islt-copy -B nosuch", "says-why"],
    ["lxc-copy -n islt-one -N islt-copy -B nbd", "says-why"],
    `lxc-copy -n islt-one -N islt-copy -B loop -L 64M; ${config}`,
    ["lxc-copy -n islt-one -N islt-copy -B loop --fssize 64; stat -c %s store/islt-copy/rootdev", "copy-loop-size"],
    ["lxc-copy -n islt-one -N islt-copy -B loop -L x", "create-storage"],
    [`lxc-copy -n islt-one -N islt-copy -L 64M; ${config}`, "copy-size"],
    `lxc-copy -n islt-one -N islt-copy -K; ${config}`,
    `lxc-copy -n islt-one -N islt-copy --keepname --keepmac -s; ${config}`,
    "mkdir other; lxc-copy -n islt-one -N islt-copy -p $PWD/other; cat other/islt-copy/config",
    "mkdir other; lxc-copy -n islt-one -N islt-one --newpath=$PWD/other; cat other/islt-one/config",
    ["lxc-copy -n islt-one -N islt-copy -p /proc/nowhere", "says-why"],
    "lxc-copy -n islt-one -N islt-copy -a",
    "lxc-copy -n islt-one -N islt-copy -q",
    `lxc-copy -n islt-one -N islt-copy -R; ${config}`,
    ["lxc-copy -n islt-one -N islt-web -R", "says-why"],
    ["lxc-copy -n islt-one -N islt-one -R", "says-why"],
    ["lxc-copy -n islt-one -R", "says-why"],
    ["lxc-copy -n islt-one -N islt-copy -R -s", "copy-rename"],
    ["lxc-copy -n islt-one -N islt-copy -R -e", "copy-rename"],
    ["lxc-copy -n islt-one", "says-why"],
    ["lxc-copy -n islt-one -N ''", "bad-name"],
    ["lxc-copy -n islt-one -N a/b", "says-why"],
    ["lxc-copy -n islt-one -N islt-web", "says-why"],
    ["lxc-copy -n islt-one -N islt-one", "says-why"],
    "lxc-copy -n islt-one -N islt-copy -- one two",
    "mkdir store/islt-copy; lxc-copy -n islt-one -N islt-copy",
    [
      "lxc-copy -n islt-one -N islt-copy -s; lxc-destroy -n islt-one; lxc-destroy -n islt-copy; lxc-destroy -n islt-one",
      "says-why",
    ],
    ["lxc-copy -n islt-one -N islt-copy -s; lxc-copy -n islt-copy -N islt-more", "copy-kind"],
    "lxc-copy -n islt-one -N islt-copy -s; lxc-copy -n islt-copy -N islt-more -s; cat store/islt-more/config",
    ["lxc-copy -n islt-one -N islt-copy -s; lxc-copy -n islt-one -N islt-more -R", "says-why"],
    ["lxc-start -n islt-one; lxc-copy -n islt-one -N islt-copy", "says-why"],
    ["lxc-start -n islt-one; lxc-copy -n islt-one -N islt-copy -s", "says-why"],
    "lxc-start -n islt-one; lxc-copy -n islt-one -N islt-copy --allowrunning; lxc-info -sn islt-one",
    "lxc-start -n islt-one; lxc-copy -n islt-one -N islt-copy -a -s; lxc-info -sn islt-one",
    ["lxc-start -n islt-one; lxc-copy -n islt-one -N islt-copy -R", "says-why"],
    "lxc-copy -n islt-one -N islt-copy -o log -l INFO; stat -c %a log",
    `${rcfile}; lxc-copy -n islt-one -N islt-copy --rcfile rc; ${config}`,
  ],
  { containers, limit: 20 },
);

/** Addresses that were chosen. */
const addresses: readonly Case[] = cases(
  ["", "-s", "-M", "-R"].map((more) => `lxc-copy -n islt-one -N islt-copy ${more}; ${config}`),
  {
    containers: {
      "islt-one": "@own\nlxc.net.1.type = veth\nlxc.net.1.hwaddr = 00:16:3e:11:22:33\n# mine\n",
    },
    mask: /00:16:3e(?!:11:22:33):[0-9a-f:]{8}/g,
  },
);

const source = "mkdir src; echo there > src/file";
const inside = "lxc-attach -n islt-copy -- cat /mnt/file";

const ephemeral: readonly Case[] = [
  ...cases(
    [
      `lxc-copy -n islt-one -N islt-copy -e; ${state}; ${config}`,
      `lxc-copy -n islt-one -N islt-copy -e -d; ${state}; lxc-stop -k -n islt-copy; sleep 0.5`,
      `lxc-copy -n islt-one -N islt-copy -e -D; ${state}; lxc-stop -k -n islt-copy; ${config}`,
      `lxc-copy -n islt-one -N islt-copy -e -t; ${state}; lxc-stop -k -n islt-copy; sleep 0.5`,
      `lxc-copy -n islt-one -N islt-copy -e -t -L 16M; ${state}`,
      ["lxc-copy -n islt-one -N islt-copy -e -t -D", "copy-ephemeral"],
      `lxc-copy -n islt-one -N islt-copy -e -K -M; ${config}`,
      `lxc-copy -n islt-one -N islt-copy -e -B overlay; ${state}`,
      [`lxc-copy -n islt-one -N islt-copy -e -B dir; ${state}`, "says-why"],
      ["lxc-copy -n islt-one -N islt-copy -e -- /bin/sh -c 'sleep 0.3; echo hello'; sleep 0.5", "copy-command"],
      "lxc-copy -n islt-one -N islt-copy -e -- /bin/sh -c 'sleep 0.3; exit 3'; echo $?; sleep 0.5",
      [
        `lxc-copy -n islt-one -N islt-copy -e -D -- /bin/sh -c 'sleep 0.3; echo hello'; sleep 0.5; ${state}`,
        "copy-command",
      ],
      `${source}; lxc-copy -n islt-one -N islt-copy -e -m bind=$PWD/src:/mnt; ${inside}; ${config}`,
      `${source}; lxc-copy -n islt-one -N islt-copy -e -m bind=$PWD/src:mnt:ro; ${inside}; ${config}`,
      `${source}; lxc-copy -n islt-one -N islt-copy -e --mount=overlay=$PWD/src:/mnt; ${inside}; lxc-attach -n islt-copy -- touch /mnt/new; ls src`,
      ["lxc-copy -n islt-one -N islt-copy -e -m bogus=/tmp:/mnt", "copy-mount"],
      `lxc-copy -n islt-one -N islt-copy -e -m bind=/proc/nowhere:/mnt; ${state}`,
      ["lxc-copy -n islt-one -N islt-copy -m bind=/tmp:/mnt", "copy-ephemeral"],
      ["lxc-copy -n islt-one -N islt-copy -t", "copy-ephemeral"],
      ["lxc-copy -n islt-one -N islt-copy -D", "copy-ephemeral"],
      "lxc-copy -n islt-one -N islt-copy -F",
      ["lxc-copy -n islt-one -N islt-web -e", "says-why"],
    ],
    { containers, limit: 20 },
  ),
  ...cases(["lxc-copy -n islt-one -e; lxc-ls -1", "lxc-copy -n islt-one -e -D; lxc-ls -1"], {
    containers,
    mask: /(?<=one_)[A-Za-z0-9]{6}/g,
    limit: 20,
  }),
  ...cases(["lxc-copy -n islt-one -N islt-copy -e -F; sleep 0.5"], {
    containers: { "islt-one": "@own\nlxc.init.cmd = /bin/sh -c 'sleep 0.2'\n" },
    limit: 20,
  }),
];

const taken = "lxc-snapshot -n islt-one";

const snapshot: readonly Case[] = cases(
  [
    `${taken}; ls store/islt-one/snaps; cat store/islt-one/snaps/snap0/config`,
    "lxc-snapshot islt-one; lxc-snapshot islt-one; lxc-snapshot -n islt-one -L",
    `${rcfile}; ${taken} --rcfile rc; cat store/islt-one/snaps/snap0/config`,
    "lxc-snapshot -n islt-one -L",
    ["lxc-snapshot -n islt-one -C", "snapshot-comments"],
    "lxc-snapshot -n islt-one --list --showcomments",
    `${taken} -c comment; lxc-snapshot -n islt-one -L; lxc-snapshot -n islt-one -LC; cat store/islt-one/snaps/snap0/comment`,
    ["lxc-snapshot -n islt-one --comment=missing", "says-why"],
    ["lxc-snapshot -n islt-one -c .", "says-why"],
    `${taken}; echo new > store/islt-one/rootfs/etc/new; lxc-snapshot -n islt-one -r snap0; ls store/islt-one/rootfs/etc/new; sort store/islt-one/config`,
    [`${taken}; lxc-snapshot -n islt-one --restore=snap0; cat store/islt-one/config`, "snapshot-config"],
    `${taken}; lxc-snapshot -n islt-one -r snap0 -N islt-copy; cat store/islt-copy/config`,
    [`${taken}; lxc-snapshot -n islt-one -r snap0 --newname=islt-web`, "says-why"],
    `${taken}; lxc-snapshot -n islt-one -r snap0 -N islt-one`,
    ["lxc-snapshot -n islt-one -r snap0", "says-why"],
    ["lxc-snapshot -n islt-one -r ''", "says-why"],
    ["lxc-snapshot -n islt-one -r ../islt-one", "says-why"],
    `${taken}; lxc-snapshot -n islt-one -d snap0; lxc-snapshot -n islt-one -L`,
    [`${taken}; lxc-snapshot -n islt-one --destroy=snap0; ls store/islt-one`, "snapshot-directory"],
    `${taken}; ${taken}; lxc-snapshot -n islt-one -d ALL; lxc-snapshot -n islt-one -L; ls store/islt-one`,
    ["lxc-snapshot -n islt-one -d ALL", "says-why"],
    ["lxc-snapshot -n islt-one -d snap0", "says-why"],
    `${taken}; ${taken}; lxc-snapshot -n islt-one -d snap0; ${taken}; lxc-snapshot -n islt-one -L`,
    "lxc-snapshot -n islt-one -q",
    ["lxc-snapshot -n islt-one -N islt-copy", "snapshot-name"],
    ["lxc-snapshot -n islt-one -L -d snap0", "says-why"],
    "lxc-snapshot -n islt-one more; ls store/islt-one",
    ["lxc-snapshot -n islt-none", "says-why"],
    ["lxc-snapshot -n islt-none -r snap0", "says-why"],
    ["lxc-snapshot -n islt-none -d snap0", "says-why"],
    ["lxc-start -n islt-one; lxc-snapshot -n islt-one", "says-why"],
    [`${taken}; lxc-start -n islt-one; lxc-snapshot -n islt-one -r snap0; lxc-info -sn islt-one`, "says-why"],
    `${taken}; lxc-start -n islt-one; lxc-snapshot -n islt-one -d snap0; lxc-snapshot -n islt-one -L`,
    [`${taken}; lxc-destroy -n islt-one; lxc-destroy -s -n islt-one`, "says-why"],
    "lxc-copy -n islt-one -N islt-copy -s; lxc-snapshot -n islt-copy; cat store/islt-copy/snaps/snap0/config",
    "lxc-copy -n islt-one -N islt-copy -s; lxc-snapshot -n islt-copy; lxc-snapshot -n islt-copy -r snap0; sort store/islt-copy/config",
  ],
  { containers, files, mask: /\d{4}:\d\d:\d\d \d\d:\d\d:\d\d/g, limit: 20 },
);

export const copyCases: readonly Case[] = [...copy, ...addresses, ...ephemeral, ...snapshot];
