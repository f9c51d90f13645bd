// Answers: a row's scores as bars, its vector as a strip, its error in words.

import { copyButton, el, svg, thumbnail } from "./elements.js";
import { count, cut, number, percent } from "./words.js";

const BARS = 6, NUMBERS = 6, MOST_COMPARED = 8;
const REASONS = {
  NullValue: "There is nothing in this row.",
  WrongType: "The row is not of the kind that this model takes.",
  WrongShape: "The row is not of the shape that this model takes.",
  EmptySequence: "There is no step in this sequence.",
  MissingColumn: "The row lacks the column that this model asks for.",
  UndecodableImage: "This is not an image that can be read.",
  TooLong: "The row is longer than this model takes.",
  NonFiniteOutput: "The model answered something that is no number.",
  OutOfMemory: "The row did not fit into memory.",
  RowHung: "The model gave no answer to this row.",
  WorkerDied: "The row ended the model's process.",
};

/** A list item for each answer, in the order of the rows; and how alike vectors are. */
export function drawAnswers(rows, answers) {
  const vectors = answers.map((answer) => answer.embedding).filter(Boolean);
  return [
    el("ol", { class: "stack answers", "aria-label": "Answers" }, answers.map((answer, at) => drawAnswer(rows[at], answer, at))),
    vectors.length > 1 && vectors.length === answers.length && vectors.length <= MOST_COMPARED && drawLikeness(vectors),
  ].filter(Boolean);
}

function drawAnswer(row, answer, at) {
  const said = el("div", { class: "row" },
    row.picture && thumbnail(row.picture),
    el("p", { class: "asked" }, cut(row.shown, 160)),
    answer.truncated && el("span", { class: "badge" }, "cut to the model's length"));
  return el("li", { class: answer.error ? "card answer wrong" : "card answer" }, said,
    answer.error ? drawError(answer.error) : answer.embedding ? drawVector(answer.embedding, at) : drawScores(answer));
}

function drawError({ class: kind, message }) {
  return [el("p", { class: "verdict" }, REASONS[kind] ?? "This row could not be answered."),
    el("p", { class: "note" }, el("code", {}, kind), ` ${message}`)];
}

function drawScores(answer) {
  const scores = Object.entries(answer.scores).sort(([, a], [, b]) => b - a);
  const verdict = answer.labels
    ? el("p", { class: "verdict" }, answer.labels.join(", ") || "no label")
    : el("p", { class: "verdict" }, answer.label, " ", el("small", {}, percent(answer.score)));
  const chosen = new Set(answer.labels ?? [answer.label]);
  const rest = scores.slice(BARS);
  return [verdict, drawBars(scores.slice(0, BARS), chosen),
    rest.length > 0 && el("details", { class: "fold" }, el("summary", {}, `${count(rest.length, "more label")}`), drawBars(rest, chosen))];
}

const drawBars = (scores, chosen) => el("dl", { class: "bars" }, scores.map(([label, score]) =>
  el("div", { class: chosen.has(label) ? "chosen" : null },
    el("dt", {}, label),
    el("dd", {},
      svg("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
        svg("rect", { width: 100, height: 10, class: "track" }),
        svg("rect", { width: Math.max(100 * score, 0.4), height: 10, class: "score" })),
      el("span", {}, percent(score))))));

function drawVector(vector, at) {
  const most = Math.max(...vector.map(Math.abs)) || 1;
  const bars = vector.map((value, x) =>
    svg("rect", { x: x + 0.1, width: 0.8, y: value < 0 ? 50 : 50 - (48 * value) / most, height: (48 * Math.abs(value)) / most, class: value < 0 ? "below" : "above" }));
  const length = Math.hypot(...vector);
  const words = `${count(vector.length, "number")}, length ${number(length)}, from ${number(Math.min(...vector))} to ${number(Math.max(...vector))}`;
  return [
    svg("svg", { class: "strip", viewBox: `0 0 ${vector.length} 100`, preserveAspectRatio: "none", role: "img", "aria-label": `Vector of ${words}` }, bars),
    el("p", { class: "note" }, words),
    el("p", {}, el("code", {}, `[${vector.slice(0, NUMBERS).map((value) => value.toFixed(4)).join(", ")}, …]`), " ",
      copyButton(JSON.stringify(vector), `vector ${at + 1}`)),
  ];
}

function drawLikeness(vectors) {
  const cosine = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0) / (Math.hypot(...a) * Math.hypot(...b) || 1);
  return el("div", { class: "card" }, el("h3", {}, "How alike they are"),
    el("p", { class: "note" }, "Cosine of each pair; 1 is the same direction."),
    el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Cosines" }, el("table", {},
      el("thead", {}, el("tr", {}, el("td", {}), vectors.map((_, at) => el("th", { scope: "col" }, at + 1)))),
      el("tbody", {}, vectors.map((a, at) => el("tr", {}, el("th", { scope: "row" }, at + 1),
        vectors.map((b) => el("td", {}, cosine(a, b).toFixed(2)))))))));
}
