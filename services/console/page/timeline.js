// The life of one request as bars over time, against the window that a page view gives.

import { el, milliseconds } from "./dom.js";

const PARTS = [
  ["stream", "In the stream", "way"],
  ["waiting", "Waits for a place", "way"],
  ["prompt", "Taken, prompt", "way"],
  ["queue", "Engine queue", "way"],
  ["prefill", "Prefill", "model"],
  ["level1", "Level 1: IAP, RSP", "model"],
  ["level2", "Level 2: IAP, RSP", "model"],
  ["level3", "Level 3: IAP, RSP", "model"],
  ["level4", "Level 4: IAP, RSP", "model"],
  ["expand", "Items", "model"],
  ["store", "Stored", "store"],
];
const ALWAYS = new Set(["stream", "prompt", "prefill", "level1", "level2", "store"]);
const INSIDE = new Set(["queue", "prefill", "level1", "level2", "level3", "level4", "expand"]);

/** Where each part began and how long it took, from what precompute published. */
export function partsOf(stages) {
  const placed = [];
  let at = 0;
  let engineBegan = null;
  for (const [name, label, kind] of PARTS) {
    const took = stages[name];
    if (took === undefined) continue;
    if (INSIDE.has(name)) engineBegan ??= at;
    // What the engine's own parts leave of its call is the way there and back.
    if (name === "store" && engineBegan !== null) at = Math.max(at, engineBegan + (stages.engine ?? 0));
    placed.push({ name, label, kind, from: at, took });
    at += took;
  }
  return placed;
}

export class Timeline {
  constructor(holder, windowMs) {
    this.holder = holder;
    this.windowMs = windowMs;
    this.reset();
  }

  reset() {
    this.parts = [];
    this.retrieved = null;
    this.began = null;
    cancelAnimationFrame(this.frame);
    this.draw();
  }

  /** The trigger was accepted; until the list is there a line shows the time that passes. */
  begin() {
    this.reset();
    this.began = performance.now();
    this.draw();
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) this.tick();
  }

  computed(stages) {
    this.parts = partsOf(stages);
    this.draw();
  }

  retrievedAt(asked, took) {
    this.retrieved = { name: "retrieved", label: "Retrieved", kind: "read", from: asked, took };
    this.stop();
  }

  stop() {
    cancelAnimationFrame(this.frame);
    this.began = null;
    this.draw();
  }

  tick() {
    this.frame = requestAnimationFrame(() => {
      if (this.began === null) return;
      const at = Math.min(performance.now() - this.began, this.end);
      for (const line of this.holder.querySelectorAll(".now")) line.style.left = this.percent(at);
      this.tick();
    });
  }

  get end() {
    const last = [...this.parts, this.retrieved].filter(Boolean).map((part) => part.from + part.took);
    const most = Math.max(this.windowMs * 1.25, ...last.map((at) => at * 1.04));
    const step = 10 ** Math.floor(Math.log10(most)) / 4;
    return Math.ceil(most / step) * step;
  }

  percent(at) {
    return `${(100 * at / this.end).toFixed(3)}%`;
  }

  draw() {
    const known = new Map([...this.parts, this.retrieved].filter(Boolean).map((part) => [part.name, part]));
    const rows = PARTS.filter(([name]) => known.has(name) || (ALWAYS.has(name) && !this.parts.length))
      .map(([name, label, kind]) => this.row(known.get(name) ?? { label, kind }));
    const accepted = this.began !== null || known.size > 0;
    this.holder.replaceChildren(
      el("ol", { className: "lanes" },
        this.row({ label: "Trigger accepted", kind: "way", ...(accepted ? { from: 0, took: 0 } : {}) }),
        rows,
        this.row(this.retrieved ?? { label: "Retrieved", kind: "read" })),
      this.axis());
  }

  row(part) {
    const bar = el("span", { className: `bar-of ${part.kind}` });
    const known = part.from !== undefined;
    if (known) {
      bar.style.left = this.percent(part.from);
      bar.style.width = this.percent(part.took);
    }
    const lane = el("span", { className: "lane", "aria-hidden": "true" }, this.masked(), known ? bar : null,
      this.began === null ? null : el("span", { className: "now" }));
    const said = !known ? "–" : part.took === 0 ? "0 ms" : milliseconds(part.took);
    return el("li", {},
      el("span", { className: "lane-name" }, part.label), lane,
      el("span", { className: "lane-value" }, said,
        known && part.took ? el("span", { className: "unseen" }, `, from ${milliseconds(part.from)}`) : null));
  }

  masked() {
    const shade = el("span", { className: "window" });
    shade.style.width = this.percent(this.windowMs);
    return shade;
  }

  axis() {
    const lane = el("span", { className: "ticks" }, this.marks().map((at) => {
      const isWindow = at === this.windowMs;
      const mark = el("span", { className: isWindow ? "tick window-tick" : "tick" },
        isWindow ? [`${at} ms`, el("span", { className: "tick-more" }, " window")] : String(Math.round(at)));
      mark.style.left = this.percent(at);
      return mark;
    }));
    return el("div", { className: "axis", "aria-hidden": "true" }, el("span", {}), lane, el("span", {}));
  }

  /** 0, the window, and round times that do not run into their labels. */
  marks() {
    const marks = [0, this.windowMs];
    const needed = this.holder.clientWidth < 480 ? 0.4 : 0.24;
    const step = [0.25, 0.5, 1, 2, 5, 10, 20, 50, 100].map((times) => times * this.windowMs)
      .find((one) => this.end / one <= 5) ?? this.end;
    for (let at = step; at < this.end * 0.96; at += step) {
      const far = (at - this.windowMs) / this.end;
      if (far > needed || far < -0.12) marks.push(at);
    }
    return marks;
  }
}
