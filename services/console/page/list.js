// The retrieved list: titles, scores of every level, where an item would stand without RSP, and how it has moved.

import { el, number, table } from "./dom.js";

/** How an item moved since the list before; `before`: item -> rank, or null where there was none. */
export function moved(rank, before, item) {
  if (before === null) return { content: "", title: "" };
  const was = before.get(item);
  if (was === undefined) return { content: el("span", { className: "moved new" }, "new"), title: "not in the list before" };
  if (was === rank) return { content: el("span", { className: "moved same" }, "="), title: "where it was" };
  const up = was > rank;
  const places = Math.abs(was - rank);
  return {
    content: el("span", { className: up ? "moved up" : "moved down" },
      el("span", { "aria-hidden": "true" }, up ? "▲" : "▼"),
      el("span", { className: "unseen" }, up ? "up " : "down "), String(places)),
    title: `was ${was}`,
  };
}

/** Rows: {item_id, title, sid, score, levels, other}; `done`: item -> what was done with it on this page. */
export function listTable({ rows, before, other, done, act }) {
  // As many as a semantic id has codes: the columns stand before their numbers come.
  const levels = Math.max(0, ...rows.map((row) => row.sid?.length ?? 0));
  const columns = [
    { name: "Rank", className: "rank" },
    { name: "Moved", className: "move" },
    { name: "Item", className: "item" },
    { name: "SID", className: "sid" },
    { name: "Score", className: "num score" },
    ...Array.from({ length: levels }, (_, level) => [
      { name: `L${level + 1} IAP`, className: `num level at-${2 * level % 4 + 1}` },
      { name: `L${level + 1} RSP`, className: `num level at-${2 * level % 4 + 2}` },
    ]).flat(),
    { ...other, className: "num other" },
    { name: "Actions", className: "acts" },
  ];
  const body = rows.map((row, place) => [
    String(place + 1),
    moved(place + 1, before, row.item_id),
    el("div", { className: "item-name" },
      el("span", { className: "title" }, row.title || "(no title)"), el("span", { className: "id" }, row.item_id)),
    row.sid ? row.sid.join("-") : "–",
    number(row.score, 3),
    ...Array.from({ length: levels }, (_, level) => row.levels?.[level] ?? [null, null]).flat()
      .map((score) => number(score, 2)),
    row.other ?? "–",
    acts(row, place, done, act),
  ]);
  return table("The list, best first", columns, body);
}

function acts(row, place, done, act) {
  const button = (behavior, name) => {
    const was = done.get(row.item_id)?.has(behavior);
    return el("button", {
      type: "button",
      className: was ? "act was" : "act",
      "aria-label": `${was ? `${name} again` : name}: ${row.title || row.item_id}`,
      onclick: () => act(row.item_id, behavior, place),
    }, was ? `${name} ✓` : name);
  };
  return el("div", { className: "act-pair" }, button("click", "Click"), button("purchase", "Buy"));
}
