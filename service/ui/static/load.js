// Load: what each lane does, asked once a second while the page is seen.

import { ask, excuse, Refused } from "./api.js";
import { lineChart } from "./charts.js";
import { byId, el, say } from "./elements.js";
import { count, moment, number, percent, seconds, splitTag } from "./words.js";

const EVERY_MS = 1000, SPANS_S = [60, 120, 300];
const REASONS = {
  queue_full: "found the queue full", too_many_rows: "had too many rows", predicted_wait: "would have waited too long",
  deadline: "passed their deadline", closed: "came while the model was unloaded", left: "left by their caller",
};

let lanes = new Map(), timer = null, lastAnswer = null, isPaused = false, isOpen = false;

export function open() {
  isOpen = true;
  byId("load-pause").onclick = () => {
    isPaused = !isPaused;
    byId("load-pause").setAttribute("aria-pressed", isPaused);
    byId("load-pause").textContent = isPaused ? "Go on" : "Pause";
    if (isPaused) say(byId("load-said"), `Paused at ${moment(Date.now())}.`);
    schedule(0);
  };
  schedule(0);
}

export function close() {
  isOpen = false;
  clearTimeout(timer);
}

document.addEventListener("visibilitychange", () => schedule(0));

function schedule(after_ms) {
  clearTimeout(timer);
  if (isOpen && !isPaused && !document.hidden) timer = setTimeout(look, after_ms);
}

async function look() {
  const said = byId("load-said"), began = performance.now();
  try {
    const { lanes: found } = await ask("lanes", { signal: AbortSignal.timeout(10 * EVERY_MS) });
    if (isPaused) return;
    lastAnswer = Date.now();
    byId("load-lanes").classList.remove("old");
    show(found);
    say(said, found.length ? "" : "No model is served here, or none that this key may know of.");
  } catch (error) {
    byId("load-lanes").classList.add("old");
    for (const lane of lanes.values()) lane.miss();
    if (error instanceof Refused) {
      say(said, excuse(error, "load of lanes"), "bad");
      if (error.status < 500 && error.status !== 429) return; // asking again every second would not change it
    } else say(said, lastAnswer ? `No answer since ${moment(lastAnswer)}.` : "The server does not answer.", "bad");
  }
  schedule(Math.max(EVERY_MS - (performance.now() - began), 200));
}

function show(found) {
  const before = [...lanes.keys()].join();
  lanes = new Map(found.map((load) => [load.model, lanes.get(load.model) ?? new LaneView(load.model)]));
  if (before !== [...lanes.keys()].join()) byId("load-lanes").replaceChildren(...[...lanes.values()].map((lane) => lane.element));
  for (const load of found) lanes.get(load.model).add(load);
}

/** One lane: its figures now, and lines of the last minutes. */
class LaneView {
  constructor(model) {
    const [name, version] = splitTag(model);
    const title = `lane-${model.replace(/[^\w-]/g, "-")}`;
    this.samples = [];
    this.previous = null;
    this.state = el("span", { class: "badge" });
    this.tiles = Object.fromEntries(["queue", "predicted wait", "busy", "answered", "micro-batch", "shed"].map((tile) => [tile, el("dd", { "data-tile": tile })]));
    this.shed = el("p", { class: "note" });
    this.charts = [
      lineChart({ title: "latency", least: 0.01, format: seconds, lines: [
        { name: "p50", of: (sample) => sample.p50 }, { name: "p99", of: (sample) => sample.p99 }] }),
      lineChart({ title: "requests a second", least: 1, format: number, lines: [{ name: "requests/s", of: (sample) => sample.rate }] }),
      lineChart({ title: "rows in a micro-batch", least: 1, format: number, lines: [{ name: "rows", of: (sample) => sample.rows }] }),
      lineChart({ title: "padding, since the start", least: 0.01, format: (share) => percent(share, share && share < 0.1 ? 1 : 0), lines: [{ name: "share", of: (sample) => sample.padded }] }),
    ];
    this.element = el("article", { class: "card lane", "aria-labelledby": title, "data-model": model },
      el("header", {}, el("h3", { id: title }, name, el("span", { class: "version" }, `:${version}`)), this.state),
      el("dl", { class: "tiles" }, Object.entries(this.tiles).map(([tile, value]) => el("div", {}, el("dt", {}, tile), value))),
      this.shed,
      el("div", { class: "charts" }, this.charts.map((chart) => chart.element)));
  }

  add(load) {
    const at = Date.now(), latency = load.latency_s ?? {};
    this.samples.push({ at, p50: latency.p50 ?? null, p99: latency.p99 ?? null, padded: load.padded_share ?? null, ...this.since(load, at) });
    this.previous = { ...load, at };
    this.showNow(load);
    this.draw(at);
  }

  /** What happened since the sample before: the server's counts and means are since the lane was opened. */
  since(load, at) {
    const before = this.previous;
    if (!before || load.requests < before.requests || load.micro_batches < before.micro_batches) return { rate: null, rows: null };
    const calls = load.micro_batches - before.micro_batches;
    const rowsOf = ({ micro_batches: times, micro_batch_rows_mean: mean }) => times * (mean ?? 0);
    return {
      rate: (load.requests - before.requests) / ((at - before.at) / 1000),
      rows: calls ? (rowsOf(load) - rowsOf(before)) / calls : null,
    };
  }

  miss() {
    const at = Date.now();
    this.samples.push({ at, p50: null, p99: null, padded: null, rate: null, rows: null });
    this.previous = null;
    this.draw(at);
  }

  draw(at) {
    this.samples = this.samples.filter((sample) => at - sample.at <= 1000 * SPANS_S.at(-1));
    const old_s = (at - this.samples[0].at) / 1000;
    const span_s = SPANS_S.find((span) => old_s <= span) ?? SPANS_S.at(-1);
    for (const chart of this.charts) chart.draw(this.samples, span_s, at);
  }

  showNow(load) {
    const shed = Object.entries(load.shed ?? {}).filter(([, times]) => times > 0);
    const total = shed.reduce((sum, [, times]) => sum + times, 0);
    const figures = {
      queue: [number(load.queue_rows), `of ${number(load.queue_limit_rows)} rows`],
      "predicted wait": [seconds(load.predicted_wait_s), load.slo_s ? `goal ${seconds(load.slo_s)}` : ""],
      busy: [percent(load.busy_share, 0), "of the last minute"],
      answered: [number(load.requests), `${count(load.rows, "row")}, ${count(load.error_rows, "error")}`],
      "micro-batch": [number(load.micro_batch_rows_mean), `rows each, of ${number(load.micro_batches)}`],
      shed: [number(total), "requests, since the start"],
    };
    for (const [tile, [value, words]] of Object.entries(figures)) this.tiles[tile].replaceChildren(value, el("small", {}, words));
    this.shed.textContent = shed.length ? `Of the requests that were shed, ${shed.map(([reason, times]) => `${number(times)} ${REASONS[reason] ?? reason.replaceAll("_", " ")}`).join(", ")}.` : "";
    this.state.textContent = load.alive ? (load.running_rows ? `${count(load.running_rows, "row")} at work` : "idle") : "not alive";
    this.state.className = load.alive ? "badge" : "badge wrong";
  }
}
