import { type Case, cases } from "./case.js";

/** The tools that work on one named container, with what else they need to get as far as looking for it. */
const named: Readonly<Record<string, string>> = {
  "lxc-attach": "-- true",
  "lxc-cgroup": "cpu.shares",
  "lxc-console": "",
  "lxc-create": "-t none",
  "lxc-destroy": "",
  "lxc-device": "-- add /dev/null",
  "lxc-execute": "-- true",
  "lxc-freeze": "",
  "lxc-info": "",
  "lxc-start": "",
  "lxc-stop": "-k",
  "lxc-unfreeze": "",
  "lxc-wait": "-s STOPPED -t 1",
};
const others: Readonly<Record<string, string>> = {
  "lxc-autostart": "",
  "lxc-ls": "",
  "lxc-monitor": "-Q",
  "lxc-top": "",
  "lxc-unshare": "-s IPC -- true",
};
const files = { "bad.conf": "lxc.uts.name = x\nlxc.bogus = 1\n", "good.conf": "lxc.rootfs.path = dir:/nowhere\n" };
const broken = { "islt-bad": "@base\nlxc.bogus = 1\n" };

const helps = (tool: string): readonly Case[] => [
  ...cases([`${tool} --help`, `${tool} -h`, `${tool} -?`], { differs: ["help"] }),
  ...cases([`${tool} --usage`, `${tool} --version`]),
  ...cases([`${tool} --bogus`, `${tool} -Z`, `${tool} -P`, `${tool} --quiet=1`], { differs: ["help"] }),
];

export const commonCases: readonly Case[] = [
  ...Object.entries({ ...named, ...others }).flatMap(([tool, rest]) => [
    ...helps(tool),
    ...cases([`${tool} -P /nowhere ${rest}`, `${tool} -o /nowhere/log ${rest}`, `${tool} -l LOUD ${rest}`]),
  ]),
  ...Object.entries(named).flatMap(([tool, rest]) => [
    ...cases([
      `${tool} ${rest.replace("true", "")}`.trimEnd(),
      `${tool} -n "" ${rest}`,
      `${tool} -n a/b ${rest}`,
      `${tool} -n islt-none ${rest}`,
      `${tool} islt-none ${rest}`,
      `${tool} -n islt-none -q ${rest}`,
    ]),
    ...cases([`${tool} -n`], { differs: ["help"] }),
    ...cases([`${tool} -n islt-bad ${rest}`, `${tool} -q -n islt-bad ${rest}`], { containers: broken }),
    ...cases(
      [
        `${tool} -n islt-web --rcfile=missing.conf ${rest}`,
        `${tool} -n islt-web --rcfile bad.conf ${rest}`,
        `${tool} -n islt-web --rcfile=. ${rest}`,
        `${tool} -n islt-none --rcfile=good.conf ${rest}`,
      ],
      { files },
    ),
  ]),
];
