// The two questions that the page asks: for a key, and whether an action is meant.

import { get, key, Refused } from "./api.js";
import { byId, el } from "./dom.js";

let dialogs = 0;

function ask({ title, text, label, help, confirm, needed, danger }) {
  const number = ++dialogs;
  return new Promise((resolve) => {
    const input = label ? el("input", {
      type: "password", id: `dialog-key-${number}`, autocomplete: "off", spellcheck: false, required: needed,
    }) : null;
    const form = el("form", {
      onsubmit: (event) => {
        event.preventDefault();
        dialog.close("yes");
      },
    },
    el("h2", { id: `dialog-title-${number}` }, title),
    el("p", {}, text),
    input && el("div", { className: "field" },
      el("label", { for: input.id }, label), input, help ? el("p", { className: "note" }, help) : null),
    el("div", { className: "buttons" },
      el("button", { type: "button", onclick: () => dialog.close("no") }, "Cancel"),
      el("button", { type: "submit", className: danger ? "danger" : "main" }, confirm)));
    const dialog = el("dialog", {
      "aria-labelledby": `dialog-title-${number}`,
      onclose: () => {
        dialog.remove();
        resolve(dialog.returnValue === "yes" ? { key: input?.value.trim() ?? "" } : null);
      },
    }, form);
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Ask for the page's key until it is known or the visitor gives up. */
export async function askForKey(why) {
  const said = await ask({
    title: "API key",
    text: why,
    label: "Key",
    help: "Kept in this tab until it is closed. Scopes: trigger and retrieve for Request, metrics for System.",
    confirm: "Use this key",
    needed: true,
  });
  if (said) key.set(said.key);
  return said !== null;
}

/** What the page begins with; a key is asked for where one is needed. */
export async function begin() {
  const { keys } = await get("/api/door");
  let why = "This console is behind API keys.";
  for (;;) {
    try {
      if (keys && !key.get() && !await askForKey(why)) break;
      const session = { ...await get("/api/session"), keys };
      showSession(session);
      return session;
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 401) throw error;
      key.set("");
      why = "That key is not known here.";
    }
  }
  throw new Refused(401, "Without a key there is nothing to see. Reload to enter one.");
}

function showSession(session) {
  byId("served").replaceChildren(...(session.model_version
    ? ["model ", el("code", {}, session.model_version)] : ["no catalogue"]));
  byId("served").title = session.no_catalog ?? `catalogue ${session.catalog_version}`;
  const button = byId("key-button");
  button.hidden = !session.keys;
  button.onclick = async () => {
    if (await askForKey("Another key for this tab.")) location.reload();
  };
}

/** The key to act with, or null where the visitor does not mean it. */
export async function confirmed(session, { title, text, confirm, danger }) {
  const said = await ask({
    title,
    text,
    label: session.keys ? "Admin key" : null,
    help: "A key with the scope admin. Not kept. Empty: the key of this tab.",
    confirm,
    needed: false,
    danger,
  });
  return said && (said.key || key.get());
}
