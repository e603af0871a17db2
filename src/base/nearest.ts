/** The one of `names` that is spelled most like `word`; null where none comes near. `slips`: how many letters may be wrong. */
export function nearest(word: string, names: Iterable<string>, slips: number): string | null {
  let best: string | null = null;
  let distance = slips + 1;
  for (const name of names) {
    const found = Math.abs(name.length - word.length) < distance ? editDistance(name, word) : distance;
    if (found < distance) {
      best = name;
      distance = found;
    }
  }
  return best;
}

/** How many slips in a short name still make it the same name: one, from five letters on two. */
export const likelySlips = (word: string): number => (word.length < 5 ? 1 : 2);

/** Levenshtein's, with two letters in the wrong order as one slip. */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a.charAt(i - 1) === b.charAt(j - 1) ? 0 : 1;
      const swapped =
        i > 1 && j > 1 && a.charAt(i - 1) === b.charAt(j - 2) && a.charAt(i - 2) === b.charAt(j - 1)
          ? (before[j - 2] ?? 0) + 1
          : Number.POSITIVE_INFINITY;
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + same, swapped));
    }
    before = row;
    row = next;
  }
  return row[b.length] ?? 0;
}
