// Jobs: the newest first, those under way live.

import { ask, excuse, Refused, watch } from "./api.js";
import { byId, el, say } from "./elements.js";
import { hasEnded, JobCard } from "./job_card.js";
import { setUpForm } from "./job_form.js";
import { moment } from "./words.js";

const PAGE = 10, MOST = 1000, EVERY_MS = 3000;
const STREAMS = 3; // a browser opens six connections to a host: the others are for everything else

let cards = new Map(), shown = PAGE, timer = null, isOpen = false, lastAnswer = null;
const streams = new Map();

export async function open() {
  isOpen = true;
  byId("jobs-older").onclick = async () => { shown += PAGE; await look(); };
  setUpForm((job) => { take(job); place([job.id, ...[...cards.keys()].filter((id) => id !== job.id)]); follow(); schedule(); });
  await look();
}

export function close() {
  isOpen = false;
  clearTimeout(timer);
  for (const stream of streams.values()) stream.abort();
  streams.clear();
}

document.addEventListener("visibilitychange", () => isOpen && !document.hidden && look());

/** Ask for the list; again after a while, as jobs of others come and go. */
async function look() {
  const said = byId("jobs-said");
  try {
    const { jobs } = await ask(`jobs?limit=${Math.min(shown + 1, MOST)}`);
    if (!isOpen) return;
    lastAnswer = Date.now();
    byId("jobs-older").hidden = jobs.length <= shown;
    const wanted = jobs.slice(0, shown);
    for (const job of wanted) take(job);
    place(wanted.map((job) => job.id));
    say(said);
    if (!wanted.length) byId("jobs-list").replaceChildren(el("li", { class: "empty card" }, "No job yet. What you start appears here, and goes on when this page is closed."));
    byId("job-form").hidden = false;
    follow();
  } catch (error) {
    if (error instanceof Refused) {
      say(said, excuse(error, "jobs"), "bad");
      byId("job-form").hidden = [401, 403, 404].includes(error.status);
      if (error.status < 500 && error.status !== 429) return;
    } else if (error.name !== "AbortError") say(said, lastAnswer ? `No answer since ${moment(lastAnswer)}.` : error.message, "bad");
  }
  schedule();
}

function schedule() {
  clearTimeout(timer);
  if (isOpen && !document.hidden) timer = setTimeout(look, EVERY_MS);
}

function take(job) {
  if (cards.has(job.id)) cards.get(job.id).update(job);
  else cards.set(job.id, new JobCard(job));
}

/** Show these, in this order; nothing is moved where the order is the same, so that the focus stays. */
function place(ids) {
  cards = new Map(ids.map((id) => [id, cards.get(id)]));
  const list = byId("jobs-list"), there = [...list.children].map((item) => item.dataset.job);
  if (there.join() !== ids.join()) list.replaceChildren(...ids.map((id) => cards.get(id).element));
}

/** Watch those under way, as far as connections go; the list tells of the others. */
function follow() {
  const wanted = [...cards.values()].map((card) => card.job).filter((job) => !hasEnded(job));
  wanted.sort((a, b) => (b.status === "running") - (a.status === "running"));
  for (const { id } of wanted) if (!streams.has(id) && streams.size < STREAMS) stream(id);
}

async function stream(id) {
  const stop = new AbortController();
  streams.set(id, stop);
  try {
    for await (const job of watch(`jobs/${encodeURIComponent(id)}/events`, stop.signal)) {
      if (cards.has(id)) take(job);
      if (hasEnded(job)) break;
    }
  } catch {
    // the list is asked all the same, and says what is wrong
  } finally {
    stop.abort();
    if (streams.get(id) === stop) streams.delete(id);
  }
}
