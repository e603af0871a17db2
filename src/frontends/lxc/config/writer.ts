/** Collects `key = value` lines. */
import { quoted } from "./document.js";

export class Writer {
  readonly #lines: string[] = [];

  /** null: nothing to say. What the format cannot say becomes a comment. */
  text(key: string, value: string | null): void {
    if (value === null) return;
    if (value === "" || /[\r\n\0]/.test(value)) {
      this.comment(
        `${key} has ${value === "" ? "an empty value" : "a value of several lines"}, which this format cannot say`,
      );
    } else this.#lines.push(`${key} = ${quoted(value)}`);
  }

  number(key: string, value: number, unset: number): void {
    if (value !== unset) this.#lines.push(`${key} = ${value}`);
  }

  flag(key: string, value: boolean, unset: boolean): void {
    if (value !== unset) this.#lines.push(`${key} = ${value ? 1 : 0}`);
  }

  comment(text: string): void {
    this.#lines.push(`# ${text.replace(/[\r\n]+/g, " ")}`);
  }

  toString(): string {
    return this.#lines.map((line) => `${line}\n`).join("");
  }
}
