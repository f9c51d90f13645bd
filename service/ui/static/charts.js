// Charts: lines over the last minutes, drawn as SVG. A second without an answer is a gap, not a zero.

import { el, svg } from "./elements.js";

const WIDTH = 320, HEIGHT = 120, LEFT = 44, RIGHT = 8, TOP = 10, BOTTOM = 20;

/** A chart that is drawn again with `draw(samples, span_s, now)`.
 *
 * lines: [{ name, of(sample) -> number or null }], `format` makes words of a value, `least` is the least top.
 */
export function lineChart({ title, lines, format, least }) {
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", class: "chart" });
  const now = el("span", { class: "now" });
  const legend = el("p", { class: "legend" }, lines.length > 1 && lines.map((line, at) => el("span", { class: `key line-${at}` }, line.name)));
  const element = el("figure", {}, el("figcaption", {}, el("span", {}, title), now), picture, legend);

  function draw(samples, span_s, until) {
    const values = lines.map((line) => samples.map((sample) => line.of(sample)));
    const top = niceTop(Math.max(least, ...values.flat().filter((value) => value !== null)));
    const x = (at) => LEFT + (WIDTH - LEFT - RIGHT) * (1 - (until - at) / 1000 / span_s);
    const y = (value) => HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value / top);
    const grid = [0, 0.5, 1].map((part) => [
      svg("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(part * top), y2: y(part * top), class: "grid" }),
      svg("text", { x: LEFT - 6, y: y(part * top) + 4, "text-anchor": "end" }, format(part * top)),
    ]);
    const times = [["start", LEFT, `${Math.round(span_s / 60)} min ago`], ["end", WIDTH - RIGHT, "now"]].map(([anchor, at, words]) =>
      svg("text", { x: at, y: HEIGHT - 5, "text-anchor": anchor }, words));
    const drawn = values.map((series, at) => pathsOf(samples, series, x, y).map((d) => svg("path", { d, class: `line line-${at}` })));
    const ends = values.map((series, at) => {
      const last = series.at(-1);
      return last === null || last === undefined ? null : svg("circle", { cx: x(samples.at(-1).at), cy: y(last), r: 2.5, class: `dot line-${at}` });
    });
    picture.replaceChildren(...grid.flat(), ...times, ...drawn.flat(), ...ends.filter(Boolean));
    const latest = lines.map((line, at) => [line.name, values[at].at(-1) ?? null]);
    const words = latest.every(([, value]) => value === null) ? "–" : latest.map(([name, value]) => `${lines.length > 1 ? `${name} ` : ""}${value === null ? "–" : format(value)}`).join(" · ");
    now.textContent = words;
    picture.setAttribute("aria-label", `${title}: ${words}`);
  }
  return { element, draw };
}

/** Runs of neighbouring values, each as a path. A value alone is a short stroke. */
function pathsOf(samples, series, x, y) {
  const paths = [];
  let path = "";
  for (const [at, value] of series.entries()) {
    if (value === null) {
      if (path) paths.push(path);
      path = "";
    } else path += `${path ? "L" : "M"}${x(samples[at].at).toFixed(1)} ${y(value).toFixed(1)}`;
  }
  if (path) paths.push(path);
  return paths.map((d) => (d.includes("L") ? d : `${d}h0.8`));
}

/** The next of 1, 2, 5 times a power of ten. */
export function niceTop(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value * 0.9999);
}
