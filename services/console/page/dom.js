// Elements without markup in strings: whatever a title holds, it is text.

/** An element; `options`: properties, `data-*`, `aria-*`, `role` and `on*` listeners; children: nodes or texts. */
export function el(tag, options = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name.includes("-") || name === "role" || name === "scope" || name === "for") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

export const byId = (id) => document.getElementById(id);

/** Replace what an element holds. */
export function fill(holder, ...children) {
  holder.replaceChildren(...children.flat().filter(Boolean));
}

/** A table whose rows become cards on a narrow screen; cells: text, a node, or {content, className}. */
export function table(caption, columns, rows) {
  const head = el("tr", { role: "row" }, columns.map((column) => el(
    "th", { scope: "col", role: "columnheader", className: column.className ?? "" }, column.name)));
  const body = rows.map((cells) => el("tr", { role: "row" }, cells.map((cell, place) => {
    const whole = cell !== null && typeof cell === "object" && "content" in cell ? cell : { content: cell };
    return el("td", {
      role: "cell",
      "data-label": columns[place].short ?? columns[place].name,
      className: [columns[place].className, whole.className, whole.content ? "" : "nil"].filter(Boolean).join(" "),
      title: whole.title,
    }, whole.content ?? "–");
  })));
  return el("table", { role: "table" },
    el("caption", { className: "unseen" }, caption),
    el("thead", { role: "rowgroup" }, head),
    el("tbody", { role: "rowgroup" }, body));
}

export function pill(text, kind) {
  return el("span", { className: `pill ${kind}` }, text);
}

export const number = (value, digits = 0) => value === null || value === undefined ? "–"
  : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }).replace("-", "\u2212");

export const milliseconds = (value) => `${number(value, value < 10 ? 1 : 0)} ms`;

export function ago(timestamp, now = Date.now()) {
  const seconds = Math.max(0, (now - timestamp) / 1000);
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;
