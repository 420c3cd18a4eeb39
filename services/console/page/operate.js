// What an operator may change: bundles, dead letters, hidden items.  Each action is confirmed, and shows an admin key.

import { get, post, Refused } from "./api.js";
import { confirmed } from "./dialogs.js";
import { ago, byId, el, fill, number, pill, plural, table } from "./dom.js";

const EVERY_MS = 10000;

let session;
/** The look that is out, null where none is: an answer that was long on its way must not undo a later one. */
let looking = null;

async function panel(id, show) {
  try {
    await show();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    fill(byId(id), el("p", { className: "note" }, error.message));
  }
}

/** Ask, act, say how it went under the panel's content, and look again. */
async function act(id, question, name, body, saying) {
  const shown = await confirmed(session, question);
  if (shown === null) return;
  let said;
  let kind = "done";
  try {
    said = saying(await post(name, body, shown));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    said = `Refused: ${error.message}`;
    kind = "refused";
  }
  await look();
  byId(id).parentElement.querySelector(".said")?.remove();
  byId(id).before(el("p", { className: `said ${kind}`, role: "status" }, said));
}

async function bundles() {
  const now = await get("/api/bundles");
  if (!now.store) {
    fill(byId("bundles"), el("p", { className: "note" }, "There is no bundle store: RANKGR_BUNDLE_STORE names none."));
    return;
  }
  byId("rollback").hidden = !now.previous;
  byId("rollback").onclick = () => act("bundles", {
    title: "Roll back?",
    text: `Everybody goes back to ${now.previous}, the version before. Every process swaps by itself.`,
    confirm: "Roll back",
    danger: true,
  }, "/api/bundles/rollback", { to: now.previous }, (done) => `${done.channel} is ${done.version} again.`);
  const rows = now.bundles.map((one) => [
    el("code", {}, one.version),
    el("code", {}, one.model_version),
    el("code", {}, one.catalog_version),
    one.created_at.slice(0, 16).replace("T", " "),
    `${number(one.nbytes / 1e6, 1)} MB`,
    one.names.length ? el("span", {}, one.names.map((name) => pill(name, name === "latest" ? "good" : "plain"))) : null,
    one.names.includes("latest") ? { content: "" } : promote(one),
  ]);
  fill(byId("bundles"),
    rows.length ? table("Published bundles", [
      { name: "Version", className: "name" }, { name: "Model" }, { name: "Catalogue" }, { name: "Made" },
      { name: "Size", className: "num" }, { name: "Channel" }, { name: "Action", className: "acts" },
    ], rows) : el("p", { className: "note" }, "The store holds no bundle."),
    now.moves.length ? el("details", {}, el("summary", {}, "Moves"),
      el("ol", { className: "moves" }, now.moves.map((move) => el("li", {},
        `${move.channel}: ${move.kind} ${move.version ?? ""} by ${move.by || "somebody"}, ${ago(move.at_ms)}`)))) : null,
    now.refused.length ? el("details", {}, el("summary", {}, plural(now.refused.length, "refused bundle")),
      el("ol", { className: "moves" }, now.refused.map((why) => el("li", {}, why)))) : null);
}

function promote(one) {
  return el("button", {
    type: "button",
    className: "act",
    "aria-label": `Promote ${one.version}`,
    onclick: () => act("bundles", {
      title: `Promote ${one.version}?`,
      text: "Every process will swap to it. It was judged when it was published and is not judged again.",
      confirm: "Promote",
    }, "/api/bundles/promote", { version: one.version }, (done) => done.moved
      ? `${done.version} is latest now.` : `${done.version} was latest already.`),
  }, "Promote");
}

async function letters() {
  const found = (await get("/api/dead-letters")).letters;
  byId("letters-count").textContent = found.length ? `newest ${found.length}` : "";
  byId("replay").hidden = found.length === 0;
  byId("replay").onclick = () => act("letters", {
    title: "Replay dead letters?",
    text: "Those that were not replayed yet go back to their topics, each once, 1,000 at most. What fails again is buried again.",
    confirm: "Replay",
  }, "/api/dead-letters/replay", {}, (done) => `Replayed ${done.replayed}, passed over ${done.passed_over}.`);
  fill(byId("letters"), found.length ? el("ol", { className: "letters" }, found.map((one) => el("li", {},
    el("span", { className: "reason" }, one.reason),
    el("span", { className: "note" }, `${one.topic} → ${one.group}, user ${one.user_id}, ${plural(one.attempts, "attempt")}, ${ago(one.buried_at)}`))))
    : el("p", { className: "note" }, "None."));
}

async function hidden() {
  const now = await get("/api/hidden");
  byId("hidden-count").textContent = now.hidden ? number(now.hidden) : "";
  fill(byId("hidden"), now.items.length ? el("ul", { className: "rows" }, now.items.map((one) => el("li", {},
    el("span", { className: "title" }, one.title || "(no title)"), el("span", { className: "id" }, one.item_id),
    el("button", {
      type: "button",
      className: "act",
      "aria-label": `Show ${one.title || one.item_id} again`,
      onclick: () => act("hidden", {
        title: "Show this item again?", text: `${one.title || "Item"} (${one.item_id}) may be served again.`, confirm: "Show",
      }, "/api/hidden/change", { show: [one.item_id] }, (done) => `${plural(done.hidden, "item")} hidden.`),
    }, "Show"))))
    : el("p", { className: "note" }, "None."));
}

function hideAsked(event) {
  event.preventDefault();
  const items = byId("hide-items").value.split(/[\s,;]+/).filter(Boolean);
  if (!items.length) return;
  act("hidden", {
    title: `Hide ${plural(items.length, "item")}?`,
    text: `${items.slice(0, 5).join(", ")}${items.length > 5 ? " and others" : ""}: no answer holds them any more, within a second or two.`,
    confirm: "Hide",
    danger: true,
  }, "/api/hidden/change", { hide: items }, (done) => {
    byId("hide-items").value = "";
    return `${plural(done.hidden, "item")} hidden.`;
  });
}

/** Look once whoever looks now is back: what was changed meanwhile is seen. */
async function look() {
  while (looking) await looking.catch(() => {});
  looking = Promise.all([panel("bundles", bundles), panel("letters", letters), panel("hidden", hidden)]);
  try {
    await looking;
  } finally {
    looking = null;
  }
}

export function startOperating(given) {
  session = given;
  byId("hide").addEventListener("submit", hideAsked);
  look();
  setInterval(() => {
    // A table that is made anew under somebody's hands would lose their place.
    const busy = document.querySelector("dialog") || document.activeElement?.matches("main button, summary");
    if (!busy && !document.hidden && !looking) look();
  }, EVERY_MS);
}
