// Counts as shares of one bar, with their numbers.

import { el, number } from "./dom.js";

/** `counts`: name -> count; `kinds`: [name, colour] in order. */
export function shares(counts, kinds, nothing) {
  const whole = Object.values(counts).reduce((sum, count) => sum + count, 0);
  if (!whole) return el("p", { className: "note" }, nothing);
  const known = kinds.map(([name]) => name);
  const rows = [...kinds, ...Object.keys(counts).filter((name) => !known.includes(name)).map((name) => [name, "plain"])]
    .filter(([name]) => counts[name]);
  const bar = el("div", { className: "share-bar", "aria-hidden": "true" }, rows.map(([name, kind]) => {
    const part = el("span", { className: `share ${kind}` });
    part.style.flexGrow = String(counts[name]);
    return part;
  }));
  return [bar, el("dl", { className: "figures" }, rows.map(([name, kind]) => el("div", {},
    el("dt", {}, el("span", { className: `dot ${kind}`, "aria-hidden": "true" }), name.replaceAll("_", " ")),
    el("dd", {}, `${number(100 * counts[name] / whole, 1)} %`, el("span", { className: "of" }, number(counts[name]))))))];
}
