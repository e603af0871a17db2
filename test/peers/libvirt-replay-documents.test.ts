import { test } from "node:test";
import { dom, replay, type Session } from "../support/libvirt-replay.js";
import { bring, lacksHost, sameLinks, situation, t3 } from "../support/libvirt-situation.js";

/** Recorded sessions in which documents are read and changed, and limits are, made again of a daemon. */

const noPorts = "a network's ports are libvirt's own: interfaces are at the bridge itself";
const hostNetwork = "t3 has the host's network: what is put into it is the host's, and no guest's";

const noWeights = "the kernel here has none";

const documents: Session = {
  name: "40-xml",
  before: {
    dumpxml_live: sameLinks,
    desc: async ({ call, dom: now }) => {
      await call("DOMAIN_SUSPEND", { dom: now("t2") });
      await call("DOMAIN_RESUME", { dom: now("t2") });
    },
    attach_fs_live: (stage) => bring(stage, "t3", "running"),
  },
  leftOut: {
    6: ["DOMAIN_DEFINE_XML", { xml: "nope\n" }],
    7: ["DOMAIN_DEFINE_XML", { xml: t3.replace("lxc", "kvm") }],
    10: ["CONNECT_DOMAIN_XML_FROM_NATIVE", { nativeFormat: "foo", nativeConfig: "lxc.utsname = web\n", flags: 0 }],
    37: [
      "DOMAIN_ATTACH_DEVICE",
      {
        dom: dom("t3"),
        xml: "<filesystem type='mount'><source dir='/root'/><target dir='/mnt'/></filesystem>\n",
      },
    ],
  },
  machine: {},
  reasons: {
    "dumpxml_live DOMAIN_GET_XML_DESC.xml: -<source network='default' portid='53250c1d-7b3b-4a9e-8661-22a3d72ce0dd' bridge='virbr0'/>":
      noPorts,
    "dumpxml_live DOMAIN_GET_XML_DESC.xml: +<source network='default' bridge='virbr0'/>": noPorts,
    'domxml_to_native CONNECT_DOMAIN_XML_TO_NATIVE.status: "3, this function is not supported by the connection driver: virConnectDomainXMLToNative", here "ok"':
      "its LXC driver has none",
    'attach_iface DOMAIN_ATTACH_DEVICE.status: "ok", here "67, unsupported configuration: t3 has no network of its own that a nic could be put into"':
      hostNetwork,
    'detach_iface DOMAIN_DETACH_DEVICE.status: "ok", here "99, device not found: no device matching MAC address 52:54:00:82:f1:15 found"':
      hostNetwork,
  },
};

/** `hasWeights`: the kernel has weights for groups that want the same disk. */
const limits = (hasWeights: boolean): Session => ({
  name: "50-tuning",
  leftOut: {
    6: ["DOMAIN_GET_SCHEDULER_PARAMETERS", { dom: dom("t2"), nparams: 3 }],
    11: ["DOMAIN_GET_SCHEDULER_PARAMETERS_FLAGS", { dom: dom("t2"), nparams: 3, flags: 6 }],
  },
  machine: hasWeights ? {} : { "DOMAIN_GET_BLKIO_PARAMETERS.params[weight].value": noWeights },
  reasons: hasWeights
    ? {}
    : {
        'blkiotune_set DOMAIN_SET_BLKIO_PARAMETERS.status: "ok", here "1, internal error: blkio.weight cannot be set: the container\'s cgroup has no such file"':
          noWeights,
      },
});

test("documents are read and changed as libvirtd answered it", async (t) => {
  if (lacksHost(t)) return;
  const { place, names } = await situation(t, { off: ["t3"], running: ["t2"] });
  await replay(t, place, names, documents);
});

test("limits are read and changed as libvirtd answered it", async (t) => {
  if (lacksHost(t)) return;
  const { place, names } = await situation(t, { running: ["t2"] });
  const weight = await place.own.command(["lxc-cgroup", ...place.own.store.at("t2"), "blkio.weight"]);
  await replay(t, place, names, limits(weight.status === 0));
});
