/** islet.* as a guest's spec: what the configuration says itself; the profile adds the rest. */
import { type BoundUser, type Credential, type GuestSpec, plainGuest } from "../../../spec/guest.js";
import { type Collector, fault, skipped } from "./collector.js";
import type { Item, Values } from "./model.js";
import { guestApi } from "./profile.js";

export function guestSpec(values: Values, into: Collector): GuestSpec {
  const profile = values.guestProfile?.value ?? "lxc";
  const given: GuestSpec = {
    ...plainGuest,
    profile,
    uuid: values.guestUuid?.value ?? null,
    localtime: values.guestLocaltime?.value ?? plainGuest.localtime,
    journal: values.guestJournal?.value ?? plainGuest.journal,
    scope: values.guestScope?.value ?? plainGuest.scope,
    api: values.guestApi?.value === true ? guestApi : null,
    lxcfs: values.guestLxcfs?.value ?? plainGuest.lxcfs,
  };
  const credentials = values.credentials.flatMap((item) =>
    credential(item.value.name, item.value.value, item.at, into),
  );
  const users = boundUsers(values.bindUsers, into);
  if (profile === "systemd")
    return { ...given, run: { manager: "lxc", notify: true, exports: true, credentials, users } };
  for (const { name, at } of credentials)
    if (at !== null) skipped(into, `the credential ${name} has no effect without islet.guest = systemd`, at);
  for (const { name, at } of users)
    if (at !== null) skipped(into, `the user ${name} is not passed in without islet.guest = systemd`, at);
  return given;
}

/** Users have their place in a /run of ours, which the profile gives up where the configuration has its own. */
export function noteLeftOut(given: GuestSpec, complete: GuestSpec, into: Collector): void {
  if (complete.run !== null) return;
  for (const { name, at } of given.run?.users ?? [])
    if (at !== null) skipped(into, `the user ${name} is not passed in where /run is not islet's`, at);
}

/** As many as systemd has set ids aside for. */
const maxUsers = 64;

function boundUsers(items: readonly Item<string>[], into: Collector): readonly BoundUser[] {
  return items.map(({ value: name, at }, index) => {
    if (items.findIndex((item) => item.value === name) < index) fault(into, `the user ${name} is named twice`, at);
    if (index === maxUsers) fault(into, `more than ${maxUsers} users cannot be passed in`, at);
    return { name, at };
  });
}

/** As systemd has names of credentials: those of a file and of a descriptor at once. */
const credentialName = /^(?!\.\.?$)[!-.0-9;-~](?:[ -.0-9;-~]{0,253}[!-.0-9;-~])?$/;

function credential(name: string, value: string, at: Credential["at"], into: Collector): readonly Credential[] {
  if (!credentialName.test(name)) {
    fault(
      into,
      `"${name}" cannot be the name of a credential`,
      at,
      "printable ASCII without / and :, at most 255 bytes",
    );
    return [];
  }
  if (!value.startsWith("file:")) return [{ name, value, at }];
  const path = value.slice(5);
  const text = path.startsWith("/") ? into.context.files.read(path) : null;
  if (text !== null) return [{ name, value: text, at }];
  fault(
    into,
    `the credential ${name} cannot be read from "${path}"`,
    at,
    "name a plain file of at most 1 MiB by its whole path",
  );
  return [];
}
