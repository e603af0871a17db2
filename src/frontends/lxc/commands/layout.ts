import { cutSpans, fitSpans, type Look, render, type Side, type Spans, spansWidth, styled, widthOf } from "./look.js";

/** A table that fits a terminal: columns shrink, then drop out, before a line would wrap. */

export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => Spans;
  readonly side?: Side;
  /** 0 stays; the greatest number drops out first. */
  readonly rank: number;
  /** It may be cut down to this width; without: it is shown whole or not at all. */
  readonly least?: number;
}

const gap = 2;

interface Shown<Row> {
  readonly column: Column<Row>;
  readonly cells: readonly Spans[];
  readonly natural: number;
  width: number;
}

const total = (shown: readonly { readonly width: number }[]): number =>
  shown.reduce((sum, one) => sum + one.width, 0) + gap * Math.max(0, shown.length - 1);

const leastOf = <Row>(one: Shown<Row>): number => Math.min(one.natural, one.column.least ?? one.natural);

/** Takes away from the widest first, until all fit. */
function shrink<Row>(shown: readonly Shown<Row>[], columns: number): void {
  for (const one of shown) one.width = one.natural;
  for (let excess = total(shown) - columns; excess > 0; excess--) {
    const widest = shown
      .filter((one) => one.width > leastOf(one))
      .reduce<Shown<Row> | null>((best, one) => (best === null || one.width > best.width ? one : best), null);
    if (widest === null) return;
    widest.width -= 1;
  }
}

/** The widths that fit; columns that have no room are left out. */
function arrange<Row>(all: readonly Shown<Row>[], columns: number | null): readonly Shown<Row>[] {
  let shown = [...all];
  for (;;) {
    if (columns === null) return shown;
    shrink(shown, columns);
    if (total(shown) <= columns) return shown;
    const last = shown.reduce<Shown<Row> | null>(
      (worst, one) => (one.column.rank > (worst?.column.rank ?? 0) ? one : worst),
      null,
    );
    if (last === null) return shown;
    shown = shown.filter((one) => one !== last);
  }
}

/** Lines without their ends, the headings first. */
export function tableLines<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  look: Look,
  title: (text: string, column: Column<Row>) => Spans = (text) => styled("dim", text),
): readonly string[] {
  const all = columns.map((column): Shown<Row> => {
    const cells = rows.map((row) => column.cell(row));
    const natural = Math.max(widthOf(column.title), ...cells.map(spansWidth));
    return { column, cells, natural, width: natural };
  });
  // A column in which nothing stands says nothing.
  const telling = all.filter((one) => one.column.rank === 0 || one.cells.some((cell) => spansWidth(cell) > 0));
  const shown = arrange(telling, look.columns);
  const lineOf = (cellOf: (one: Shown<Row>) => Spans): string => {
    const spans = shown.flatMap((one, index) => [
      ...(index === 0 ? [] : [{ text: " ".repeat(gap) }]),
      ...fitSpans(cellOf(one), one.width, one.column.side ?? "left", look),
    ]);
    const line = look.columns === null ? spans : cutSpans(spans, look.columns, look);
    return render(line, look).trimEnd();
  };
  return [
    lineOf((one) => title(one.column.title, one.column)),
    ...rows.map((_, index) => lineOf((one) => one.cells[index] ?? [])),
  ];
}
