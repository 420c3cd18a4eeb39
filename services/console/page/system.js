// The page System: every process as it is now, and what an operator may change.

import { listen, Refused } from "./api.js";
import { begin } from "./dialogs.js";
import { byId, el, fill, number, pill, plural, table } from "./dom.js";
import { shares } from "./shares.js";
import { startOperating } from "./operate.js";

const AGAIN_MS = 2000;

function showSystem(now) {
  byId("live-at").textContent = `as of ${new Date(now.at_ms).toLocaleTimeString("en-GB")}`;
  const down = now.processes.filter((one) => !one.ready);
  byId("processes-note").textContent = down.length
    ? `Not ready: ${down.map((one) => one.name).join(", ")}.` : `All ${now.processes.length} are ready.`;
  fill(byId("processes"), table("Processes of the stack", [
    { name: "Process", className: "name" }, { name: "Ready", className: "state" }, { name: "Release" }, { name: "Model" },
    { name: "Catalogue" }, { name: "Address", className: "address" }, { name: "Says", className: "says" },
  ], now.processes.map((one) => [
    one.name,
    one.ready ? pill("ready", "good") : pill("not ready", "bad"),
    one.release,
    one.bundle.model_version ? el("code", {}, one.bundle.model_version) : null,
    one.bundle.catalog_version ? el("code", {}, one.bundle.catalog_version) : null,
    one.url,
    [one.why, one.no_metrics && `metrics: ${one.no_metrics}`].filter(Boolean).join("; ") || { content: "", className: "silent" },
  ])));
  showNumbers(now);
}

function showNumbers(now) {
  const unheard = (who) => el("p", { className: "note" }, `${who} does not tell its numbers now.`);
  fill(byId("answers"), now.answers
    ? shares(now.answers, [["fresh", "good"], ["stale", "warn"], ["fallback", "plain"]], "No page was served yet.")
    : unheard("Retrieval"));
  fill(byId("masking"), now.masking
    ? shares(now.masking, [["ready", "good"], ["waited", "warn"], ["late", "bad"]], "No list was asked for by its request yet.")
    : unheard("Retrieval"));
  fill(byId("triggers"), now.triggers
    ? shares(now.triggers, [["computed", "good"], ["superseded", "plain"], ["already_there", "plain"], ["empty", "plain"],
      ["given_up", "bad"], ["expired", "bad"]], "No trigger came yet.")
    : unheard("Precompute"));
  if (now.engine) {
    byId("triggers").append(el("p", { className: "note" },
      `Engine: ${plural(now.engine.waiting ?? 0, "prompt")} waiting, ${number((now.engine.seconds_per_prompt ?? 0) * 1000, 0)} ms a prompt.`));
  }
  fill(byId("lag"), now.lags.length
    ? el("dl", { className: "figures" }, now.lags.map((one) => el("div", {},
      el("dt", {}, `${one.topic} → ${one.reader}`),
      el("dd", { className: one.messages > 100 ? "warn" : "" }, number(one.messages)))))
    : el("p", { className: "note" }, "No reader tells its lag now."));
}

async function watch() {
  for (;;) {
    try {
      await listen("/api/system/live", {}, undefined, (name, told) => name === "system" && showSystem(told));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      byId("processes-note").textContent = error.message;
      if (error.status === 401 || error.status === 403) return;
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

async function main() {
  let session;
  try {
    session = await begin();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    byId("processes-note").textContent = error.message;
    return;
  }
  startOperating(session);
  await watch();
}

main();
