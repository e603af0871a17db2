import { IsletError } from "../../../base/errors.js";
import type { Fault } from "../../../base/source.js";
import type { LateSpec, StartCompany, StartOptions } from "../../../engine/engine.js";
import type { ContainerSpec } from "../../../spec/spec.js";
import { startRecords } from "../beside/audit.js";
import type { BegunStart } from "../beside/hooks.js";
import { LibvirtError, toEngineError } from "../errors.js";
import { withUsbFound } from "../host/usb.js";
import { checkStart } from "../spec/check-start.js";
import { hostFile } from "../spec/host-file.js";
import { toSpec } from "../spec/to-spec.js";
import type { DomainDoc } from "../xml/domain.js";
import type { DriverContext } from "./context.js";
import type { Domains } from "./domains.js";
import type { Reasons } from "./events.js";
import { wantedLabels, withLabels } from "./labels.js";
import type { LiveDocs } from "./live-docs.js";
import { networksOf } from "./networks.js";

/** The starts of domains, whoever causes them. */

export const startOptions = ({ caller }: DriverContext, fds: readonly number[]): StartOptions => ({
  caller,
  pidFile: null,
  console: "monitor",
  ...(fds.length === 0 ? {} : { listen: { fds, names: null } }),
});

const noNetworks = (): null => null;

/** What a document says to the engine. Throws LibvirtError for what cannot be. */
export async function specOf(
  { engine, storePath }: DriverContext,
  domains: Domains,
  doc: DomainDoc,
  passedFds: number,
): Promise<ContainerSpec> {
  const isNetworked = doc.interfaces.some(({ source }) => source.kind === "network");
  const bridgeOf = isNetworked ? await networksOf(engine) : noNetworks;
  const pids = doc.namespaces === null ? [] : (await domains.list()).map(({ name, pid }) => [name, pid] as const);
  const running = new Map(pids);
  return toSpec(doc, {
    storePath,
    configFile: `${storePath}/${doc.name}/config`,
    networks: (name) => {
      const bridge = bridgeOf(name);
      return bridge === null ? null : { bridge };
    },
    shared: (name) => running.get(name) ?? null,
    passedFds,
    stat: hostFile,
  });
}

export async function launch(
  context: DriverContext,
  domains: Domains,
  live: LiveDocs,
  doc: DomainDoc,
  fds: readonly number[],
): Promise<void> {
  const warn = (fault: Fault): void => {
    context.log.warned(doc.name, fault);
  };
  await context.engine.start(lateSpec(context, domains, live, doc, fds.length), {
    ...startOptions(context, fds),
    warn,
  });
}

/** What the next start makes of it; whether it can be started shows when it is: a hook may mount what the document names. */
export function lateSpec(
  context: DriverContext,
  domains: Domains,
  live: LiveDocs,
  doc: DomainDoc,
  passedFds: number,
): LateSpec {
  const running = async (): Promise<readonly DomainDoc[]> =>
    (await domains.list()).flatMap(({ status }) => live.of(status) ?? []);
  return {
    storePath: context.storePath,
    name: doc.name,
    annotations: live.annotations(doc),
    make: async () => {
      try {
        const made = await withLabels(context, running, withUsbFound(doc, context.files));
        await checkStart(made);
        return { ...(await specOf(context, domains, made, passedFds)), annotations: live.annotations(made) };
      } catch (error) {
        throw toEngineError(error);
      }
    },
  };
}

/** What belongs around every start of it. */
export function companyOf(context: DriverContext, events: Reasons, doc: DomainDoc): StartCompany {
  const { hooks, services, log } = context;
  let begun: BegunStart | null = null;
  const tell = (error: unknown): void => {
    // What the engine is told in its own words of what was refused here says no more.
    log.failed(doc, error instanceof IsletError && error.cause instanceof LibvirtError ? error.cause : error);
    services.audit(startRecords(doc, null));
  };
  const orTell = async (work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      tell(error);
      throw toEngineError(error);
    }
  };
  return {
    before: () =>
      orTell(async () => {
        // In LXC's words it is a domain, too.
        wantedLabels(context, doc);
        // An end that happened before may still have to be told.
        await events.settled();
        begun = await hooks.begin(doc);
      }),
    making(spec, { listen }) {
      log.starting(doc, spec, listen ?? null);
    },
    after: (end) =>
      orTell(async () =>
        begun?.began(async () => {
          log.undoing(doc.name);
          await end();
          // How it ended comes before why it had to.
          await events.settled();
        }),
      ),
    failed: async (error) => {
      tell(error);
      await begun?.failed();
    },
  };
}
