import { signalOf } from "../gone.js";
import { IsletError } from "../../../../base/errors.js";
import { nearest, likelySlips } from "../../../../base/nearest.js";
import type { Command, FillOptions } from "../../../../engine/engine.js";
import type { ImageStatus } from "../../../../spec/image.js";
import { type Call, jsonText, lxcCommand, outputFormat, UsageError } from "../frame.js";
import type { CommandTable } from "../getopt.js";
import { type Column, tableLines } from "../layout.js";
import { harmless, lookOf, plain, shortBytes, styled } from "../look.js";
import { option } from "../options.js";
import { ownOptions } from "./options.js";

export const imagesTable: CommandTable = {
  tool: "islet-images",
  synopsis: "[list|prune|refresh|delete] [NAME...] [--all] [--older=DAYS] [--format=text|json]",
  description:
    "Shows the root file systems that new containers are copied from, removes those that nobody uses, and makes them anew.",
  options: [
    option("all", "with prune and refresh: all of them", { short: "a" }),
    option("older", "with prune: those that no container was made of for so many days (default 30)", {
      argument: "DAYS",
    }),
    option("format", "with list: text (default) or json", { argument: "FORMAT", words: ["text", "json"] }),
    ...ownOptions.filter((row) => row.long !== "lxcpath"),
  ],
  operands: "any",
  named: false,
  notes: [
    "lxc-create with a template that makes an image (debian, ubuntu, ubuntu-cloud, fedora, download) keeps it in /var/cache/lxc/islet; the next container of the same distribution, release, architecture and packages is a copy of it. Containers do not depend on it: it can go at any time.",
    "`list`, which is the default, shows name, distribution, release, architecture, size on the disk, when it was made and when a container was last made of it; * marks one that is being made or copied. `--format json` prints an array of objects with the members name, distribution, release, architecture, variant, bytes, made, used (milliseconds since 1970), isBusy and fingerprint (SHA-256 of what was downloaded, or null).",
    "`prune` removes images that were not used for 30 days, those that a newer or older release of islet left and cannot use, and what is left of creations that were killed; it prints the names of images that went. `delete NAME...` removes these, used or not. One that is being copied stays.",
    "`refresh NAME...` makes images anew, with the packages of today. The old one serves until then, and stays if this fails.",
    "Exit status: 0; 1 on failure, and when one of the names of `delete` is in use.",
  ],
};

const day = 24 * 3600 * 1000;

async function list(call: Call): Promise<number> {
  const images = await call.engine.images();
  if (outputFormat(call.options) === "json") {
    call.session.write(1, jsonText(images.map(plainRow)));
    return 0;
  }
  if (images.length === 0) return 0;
  const look = lookOf(call.session, 1);
  const columns: readonly Column<ImageStatus>[] = [
    {
      title: "NAME",
      rank: 0,
      cell: ({ name, isBusy }) => styled("bold", harmless(isBusy ? `${name} *` : name, look)),
    },
    { title: "DISTRIBUTION", rank: 4, cell: ({ distribution }) => plain(harmless(distribution ?? "", look)) },
    { title: "RELEASE", rank: 3, cell: ({ release }) => plain(harmless(release ?? "", look)) },
    { title: "ARCH", rank: 3, cell: ({ architecture }) => plain(harmless(architecture ?? "", look)) },
    { title: "SIZE", rank: 0, side: "right", cell: ({ bytes }) => plain(shortBytes(BigInt(bytes))) },
    { title: "MADE", rank: 2, cell: ({ made }) => plain(dayOf(made)) },
    { title: "USED", rank: 1, cell: ({ used }) => plain(dayOf(used)) },
  ];
  call.session.write(1, `${tableLines(images, columns, look).join("\n")}\n`);
  return 0;
}

/** Of an image's own word, too, which may be any number. */
const dayOf = (time: number): string => (time > 0 && time < 8.64e15 ? new Date(time).toISOString().slice(0, 10) : "");

const plainRow = ({ files: _files, run: _run, ...row }: ImageStatus): unknown => row;

function olderThan(call: Call): number {
  const text = call.options.value("older");
  if (text === null) return call.options.has("all") ? 0 : 30 * day;
  if (!/^\d{1,6}$/.test(text)) throw new UsageError(`"${text}" is no number of days`);
  return Number(text) * day;
}

async function prune(call: Call, names: readonly string[]): Promise<number> {
  if (names.length > 0) throw new UsageError("prune takes no names; delete does");
  const age = olderThan(call);
  const now = Date.now();
  const gone = await call.progress.during(
    { what: "removing images" },
    call.engine.pruneImages(({ used }) => age === 0 || now - used >= age),
  );
  call.session.write(1, gone.map((name) => `${name}\n`).join(""));
  return 0;
}

/** ISLET_NOT_FOUND for the first that is not there. */
async function checked(call: Call, names: readonly string[]): Promise<readonly string[]> {
  const there = (await call.engine.images()).map(({ name }) => name);
  for (const name of names) {
    if (there.includes(name)) continue;
    const meant = nearest(name, there, likelySlips(name));
    throw new IsletError("ISLET_NOT_FOUND", `there is no image ${name}`, {
      hint: meant === null ? "islet images shows them" : `did you mean ${meant}?`,
    });
  }
  return names;
}

async function remove(call: Call, names: readonly string[]): Promise<number> {
  if (names.length === 0) throw new UsageError("which images? islet images shows them");
  const wanted = await checked(call, names);
  const gone = await call.engine.pruneImages(({ name }) => wanted.includes(name));
  const left = wanted.filter((name) => !gone.includes(name));
  for (const name of left) call.report.error(`the image ${name} is in use`);
  return left.length === 0 ? 0 : 1;
}

async function refresh(call: Call, names: readonly string[]): Promise<number> {
  const all = call.options.has("all");
  if (names.length === 0 && !all) throw new UsageError("which images? --all makes all of them anew");
  const wanted = all ? (await call.engine.images()).map(({ name }) => name) : await checked(call, names);
  const signal = signalOf(call.session.gone);
  for (const name of wanted) {
    let what = name;
    const options: FillOptions = {
      caller: call.caller,
      run: (task) => call.runUnseen(task),
      progress: (text) => {
        what = `${name}: ${text}`;
      },
      notice: (text) => {
        call.report.notice(text);
      },
      signal,
    };
    await call.progress.during(() => ({ what }), call.engine.refreshImage(name, options));
  }
  return 0;
}

const verbs: Readonly<Record<string, (call: Call, names: readonly string[]) => Promise<number>>> = {
  list: (call, names) => {
    if (names.length > 0) throw new UsageError("list takes no names");
    return list(call);
  },
  ls: (call) => list(call),
  prune,
  delete: remove,
  refresh,
};

async function body(call: Call): Promise<number> {
  const [verb = "list", ...names] = call.operands;
  const run = Object.hasOwn(verbs, verb) ? verbs[verb] : undefined;
  if (run === undefined) throw new UsageError(`"${verb}" is none of list, prune, refresh and delete`);
  return await run(call, names);
}

export const images: Command = lxcCommand(imagesTable, body, { isOwn: true });
