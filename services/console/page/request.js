// The page Request: a user, a trigger, what happened, the list, and again.

import { get, listen, post, Refused } from "./api.js";
import { begin } from "./dialogs.js";
import { ago, byId, el, fill, milliseconds, number, plural } from "./dom.js";
import { listTable } from "./list.js";
import { Timeline } from "./timeline.js";

const SHOWN = 20;
const NAMES = { click: "click", purchase: "bought", exposure: "seen", cart: "cart", favourite: "favourite" };

const state = {
  session: null, user: "", request: null, list: null, explained: null, order: "with",
  before: null, told: [], done: new Map(), following: null, timeline: null, ready: null,
};

function note(text) {
  byId("life-notes").append(el("li", {}, text));
}

async function showHistory(user) {
  try {
    const past = await get("/api/history", { user_id: user });
    if (user !== state.user) return;
    byId("past-count").textContent = past.events ? number(past.events) : "";
    byId("past-note").hidden = past.items.length > 0;
    byId("past-note").textContent = "Nothing is known of this user yet.";
    byId("past").hidden = past.items.length === 0;
    fill(byId("past"), past.items.map((one) => el("li", {},
      el("span", { className: `what ${one.behavior}` }, NAMES[one.behavior] ?? one.behavior),
      el("span", { className: "title" }, one.title || one.item_id),
      el("span", { className: "when" }, ago(one.timestamp)))));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    byId("past").hidden = true;
    byId("past-note").hidden = false;
    byId("past-note").textContent = `History: ${error.message}`;
  }
}

function pick(user) {
  if (user === state.user) return;
  state.following?.abort();
  Object.assign(state, { user, request: null, list: null, explained: null, before: null, told: [], done: new Map() });
  byId("user").value = user;
  for (const chip of document.querySelectorAll("#example-list button")) {
    chip.setAttribute("aria-pressed", String(chip.textContent === user));
  }
  state.timeline.reset();
  byId("outcome").hidden = true;
  byId("summary").textContent = "Nothing was triggered yet.";
  fill(byId("life-notes"));
  showList();
  if (user) showHistory(user);
}

async function trigger() {
  state.following?.abort();
  const following = state.following = new AbortController();
  const { user } = state;
  const scene = byId("scene").value || null;
  if (state.list && state.list.outcome !== "fallback") {
    state.before = new Map(state.list.items.map((one, place) => [one.item_id, place + 1]));
  }
  Object.assign(state, { request: null, explained: null, ready: null });
  byId("outcome").hidden = true;
  byId("order").disabled = true;
  byId("summary").textContent = "Triggering.";
  fill(byId("life-notes"));
  state.timeline.reset();
  try {
    const accepted = await post("/api/triggers", { user_id: user, scene, recent: state.told });
    // Meanwhile another user was picked, or triggered again: this answer is no longer the page's.
    if (following.signal.aborted) return;
    state.request = accepted.request_id;
    state.timeline.begin();
    byId("summary").textContent = "Accepted: the list is being computed beside the request.";
    await listen("/api/life", { user_id: user, scene, limit: SHOWN, ...accepted }, following.signal, heard);
  } catch (error) {
    if (error.name === "AbortError" || following.signal.aborted) return;
    if (!(error instanceof Refused)) throw error;
    byId("summary").textContent = error.message;
  } finally {
    if (state.following === following) state.timeline.stop();
  }
  if (state.following === following) showHistory(user);
}

function heard(name, told) {
  if (name === "computed") {
    state.ready = told.ready_ms;
    state.timeline.computed(told.stages_ms);
  }
  if (name === "retrieved") {
    state.timeline.retrievedAt(told.asked_ms, told.took_ms);
    state.list = { ...told, shownFor: state.request };
    showOutcome(told);
    showList();
  }
  if (name === "explained") {
    state.explained = told;
    showList();
  }
  if (name === "not_seen") note(`${{ computed: "Stages", retrieved: "List", explained: "Scores" }[told.part]}: ${told.why}`);
  if (state.list && state.list.shownFor === state.request) summarise();
}

function showOutcome(told) {
  const outcome = byId("outcome");
  outcome.hidden = false;
  outcome.textContent = told.outcome;
  outcome.className = `pill ${{ fresh: "good", stale: "warn", fallback: "warn" }[told.outcome] ?? ""}`;
}

function summarise() {
  const { asked_ms: asked, took_ms: took, outcome } = state.list;
  if (outcome === "fallback") {
    byId("summary").textContent = "No list of this user's: the popular list was served. Click some of it, and trigger again.";
  } else if (outcome === "stale") {
    byId("summary").textContent = "The list was not ready in time: an older one was served.";
  } else if (state.ready === null) {
    byId("summary").textContent = `The page view asked after ${milliseconds(asked)} and had its list ${milliseconds(took)} later.`;
  } else {
    const spare = asked - state.ready;
    byId("summary").textContent = spare >= 0
      ? `Ready ${milliseconds(state.ready)} after the trigger, ${milliseconds(spare)} before the page view asked for it.`
      : `Ready ${milliseconds(state.ready)} after the trigger: the page view waited for it.`;
  }
}

function rowsShown() {
  const explained = state.explained;
  if (state.order === "without" && explained) {
    return explained.without_rsp.map((one) => ({ ...one, other: one.rank }));
  }
  const why = new Map((explained?.items ?? []).map((one) => [one.item_id, one]));
  return state.list.items.map((one) => ({
    ...one, levels: why.get(one.item_id)?.levels, other: why.get(one.item_id)?.rank_without_rsp,
  }));
}

function showList() {
  const { list, explained } = state;
  byId("order").disabled = !explained;
  if (!explained || !list) state.order = "with";
  for (const radio of document.querySelectorAll("#order input")) radio.checked = radio.value === state.order;
  if (!list) {
    byId("list-note").textContent = "The list appears here when it is retrieved.";
    fill(byId("list"));
    return;
  }
  byId("list-note").textContent = noteOf(list, explained);
  fill(byId("list"), listTable({
    rows: rowsShown(),
    before: state.order === "with" ? state.before : null,
    other: state.order === "with"
      ? { name: "Rank without RSP", short: "No RSP" } : { name: "Rank with RSP", short: "With RSP" },
    done: state.done,
    act,
  }));
}

function noteOf(list, explained) {
  if (list.outcome === "fallback") return "Popular items: they have no scores.";
  const head = `The first ${list.items.length} items, model ${list.model_version}.`;
  if (!explained) return head;
  const same = list.items.filter((one, place) => explained.items[place]?.item_id === one.item_id).length;
  return same === list.items.length ? head
    : `${head} The scores were asked for a moment later: ${same} of ${list.items.length} places agree.`;
}

async function act(item, behavior, position) {
  const { user } = state;
  try {
    const body = { user_id: user, item_id: item, behavior, request_id: state.list.shownFor, position };
    const { timestamp } = await post("/api/interactions", body);
    if (user !== state.user) return;
    // Told again with the next trigger, as a shop would: the history may not have it yet.
    state.told = [...state.told, { item_id: item, behavior, timestamp }].slice(-100);
    state.done.set(item, new Set([...(state.done.get(item) ?? []), behavior]));
    const focus = document.activeElement?.getAttribute("aria-label");
    showList();
    restoreFocus(focus);
    byId("summary").textContent = `${plural(state.told.length, "action")} since the page was opened: trigger again and see the list move.`;
    showHistory(user);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    note(`Not told: ${error.message}`);
  }
}

/** The table was made anew: whoever works by keyboard goes on where they were. */
function restoreFocus(label) {
  const title = label?.slice(label.indexOf(": "));
  const again = [...document.querySelectorAll("button.act")].find((one) => {
    const name = one.getAttribute("aria-label");
    return title && name.endsWith(title) && name.split(" ")[0].replace(":", "") === label.split(" ")[0].replace(":", "");
  });
  again?.focus();
}

function showExamples(users) {
  fill(byId("known"), users.map((user) => el("option", { value: user })));
  byId("examples").hidden = users.length === 0;
  fill(byId("example-list"), users.map((user) => el("li", {}, el("button", {
    type: "button", className: "chip", "aria-pressed": "false", onclick: () => pick(user),
  }, user))));
}

async function main() {
  state.timeline = new Timeline(byId("timeline"), 100);
  byId("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    const user = byId("user").value;
    if (!user) return;
    pick(user);
    trigger();
  });
  byId("user").addEventListener("change", () => pick(byId("user").value));
  byId("order").addEventListener("change", (event) => {
    state.order = event.target.value;
    showList();
  });
  try {
    state.session = await begin();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    byId("summary").textContent = error.message;
    return;
  }
  state.timeline = new Timeline(byId("timeline"), state.session.window_ms);
  byId("scene").append(...state.session.scenes.map((scene) => el("option", { value: scene }, scene)));
  if (state.session.scenes.includes("home")) byId("scene").value = "home";
  showExamples(state.session.examples);
  if (state.session.no_catalog) note(`Titles: ${state.session.no_catalog}`);
}

main();
