import { payloadCodec, type ShapeType } from "./messages.js";
import { apiName } from "./names.js";
import { connectProcedures } from "./table/connect.js";
import { domainProcedures } from "./table/domain.js";
import { events } from "./table/events.js";
import { objectProcedures } from "./table/objects.js";
import type { EventRow, Row } from "./table/row.js";
import { tuningProcedures } from "./table/tuning.js";
import type { Codec } from "./xdr.js";

/** The table of procedures as types, and to look things up in. */

type Table = typeof connectProcedures & typeof domainProcedures & typeof tuningProcedures & typeof objectProcedures;
const table: Table & Readonly<Record<ProcedureName, Row>> = {
  ...connectProcedures,
  ...domainProcedures,
  ...tuningProcedures,
  ...objectProcedures,
};

/** DOMAIN_LOOKUP_BY_NAME */
export type ProcedureName = keyof Table;
/** `{ readonly name: string }` */
export type ArgsOf<N extends ProcedureName> = ShapeType<Table[N]["args"]>;
/** void: a procedure that answers nothing. */
export type RetOf<N extends ProcedureName> = keyof Table[N]["ret"] extends never ? void : ShapeType<Table[N]["ret"]>;

/** What a message's head calls the protocol it belongs to. */
export const programs = { remote: 0x20008086, lxc: 0x00068000, qemu: 0x20008087, keepalive: 0x6b656570 } as const;
export const programVersion = 1;

type Payload = Codec<Readonly<Record<string, unknown>>>;
export interface Procedure {
  readonly name: ProcedureName;
  readonly number: number;
  readonly program: number;
  /** virDomainLookupByName */
  readonly api: string;
  readonly changes: boolean;
  readonly args: Payload;
  /** null: no payload at all. */
  readonly ret: Payload | null;
}

const procedures: readonly Procedure[] = (Object.entries(table) as [ProcedureName, Row][]).map(([name, row]) => ({
  name,
  number: row.number,
  program: row.program === "lxc" ? programs.lxc : programs.remote,
  api: row.program === "lxc" ? "virDomainLxcOpenNamespace" : (apiName(row.number) ?? name),
  changes: row.changes === true,
  args: payloadCodec(row.args),
  ret: Object.keys(row.ret).length === 0 ? null : payloadCodec(row.ret),
}));
const byProgram: ReadonlyMap<number, ReadonlyMap<number, Procedure>> = new Map(
  [programs.remote, programs.lxc].map((program) => [
    program,
    new Map(procedures.filter((each) => each.program === program).map((each) => [each.number, each])),
  ]),
);

/** The procedure of a program's number; null: it is not in the table. */
export const findProcedure = (program: number, number: number): Procedure | null =>
  byProgram.get(program)?.get(number) ?? null;

/** DOMAIN_EVENT_CALLBACK_LIFECYCLE */
export type EventName = keyof typeof events;
export type MessageOf<E extends EventName> = ShapeType<(typeof events)[E]["message"]>;

export interface EventMessage {
  readonly number: number;
  readonly message: Payload;
}
const messages = Object.fromEntries(
  (Object.entries(events) as [EventName, EventRow][]).map(([name, row]) => [
    name,
    { number: row.number, message: payloadCodec(row.message) },
  ]),
) as Readonly<Record<EventName, EventMessage>>;

export const findEvent = (name: EventName): EventMessage => messages[name];
