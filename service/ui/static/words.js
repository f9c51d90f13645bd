// Numbers, times and names as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** 1,234; 12.3; 0.0123: three digits that count. */
export function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  if (size >= 100 || Number.isInteger(value)) return whole.format(value);
  return String(Number(value.toPrecision(3)));
}

export const count = (value, one, many = `${one}s`) => `${whole.format(value)} ${value === 1 ? one : many}`;

export function percent(share, digits = 1) {
  return share === null || share === undefined ? "–" : `${(100 * share).toFixed(digits)} %`;
}

/** Seconds as they are spoken of: 0.8 ms, 34 ms, 1.2 s, 3 min 5 s, 2 h 10 min. */
export function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value < 1) return `${number(Number((1000 * value).toPrecision(2)))} ms`;
  if (value < 60) return `${value < 9.95 ? value.toFixed(1) : whole.format(value)} s`;
  const all = Math.round(value), hours = Math.floor(all / 3600), minutes = Math.floor((all % 3600) / 60);
  return hours ? `${hours} h ${minutes} min` : `${minutes} min ${all % 60} s`;
}

/** The time of day of an instant, with the date where it was not today. */
export function moment(iso) {
  const at = new Date(iso);
  const today = at.toDateString() === new Date().toDateString();
  const time = at.toLocaleTimeString("en-GB");
  return today ? time : `${at.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" })}, ${time}`;
}

/** name:version with a version that is a digest cut to what tells it apart. */
export function splitTag(tag) {
  const at = tag.lastIndexOf(":");
  return at < 0 ? [tag, ""] : [tag.slice(0, at), tag.slice(at + 1)];
}

export const cut = (text, most) => (text.length <= most ? text : `${text.slice(0, most - 1)}…`);
