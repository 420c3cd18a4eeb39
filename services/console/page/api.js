// What the page asks of the console.  The key lives in this tab alone.

const KEY = "rankgr-key";

export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

async function ask(path, options = {}, shown = key.get()) {
  const headers = { ...options.headers, ...(shown ? { authorization: `Bearer ${shown}` } : {}) };
  let answer;
  try {
    answer = await fetch(path, { cache: "no-store", ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "The console cannot be reached.");
  }
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  throw new Refused(answer.status, said.detail ?? `The console answered ${answer.status}.`);
}

const path = (name, query) => {
  const said = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return said.length ? `${name}?${new URLSearchParams(said)}` : name;
};

export const get = async (name, query = {}, options = {}) => (await ask(path(name, query), options)).json();

export const post = async (name, body, shown) => (await ask(name, {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
}, shown)).json();

/** Server-sent events by fetch, which EventSource cannot show a key with.  Returns when the stream has ended. */
export async function listen(name, query, signal, heard) {
  const answer = await ask(path(name, query), { signal, headers: { accept: "text/event-stream" } });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refused(0, "The connection to the console broke.");
    }
    if (part.done) return;
    const events = (rest + part.value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const fields = Object.fromEntries(event.split("\n").map((line) => {
        const at = line.indexOf(": ");
        return [line.slice(0, at), line.slice(at + 2)];
      }));
      if (fields.event) heard(fields.event, JSON.parse(fields.data));
    }
  }
}
