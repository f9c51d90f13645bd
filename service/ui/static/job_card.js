// One job: what it does, how far it is, and what can be done about it.

import { address, ask, fetchFile } from "./api.js";
import { areYouSure, el, say } from "./elements.js";
import { heldKey } from "./key.js";
import { count, moment, number, percent, seconds, splitTag } from "./words.js";

export const hasEnded = (job) => ["done", "failed", "cancelled"].includes(job.status);

/** A list item that is drawn again with `update(job)`; what had the focus there keeps it. */
export class JobCard {
  constructor(job) {
    this.said = el("div", { class: "said", role: "status" });
    this.status = el("span", { class: "badge" });
    this.bar = el("progress", { max: 1 });
    this.progress = el("p", { class: "note numbers" });
    this.message = el("p", { class: "note" });
    this.cancel = el("button", { type: "button", class: "second", on: { click: () => this.askCancel() } }, "Cancel");
    this.report = el("a", { class: "button second", target: "_blank", rel: "noopener", on: { click: (event) => this.openReport(event) } }, "Report");
    this.actions = el("footer", { class: "actions" }, this.cancel, this.report);
    this.facts = el("dl", { class: "facts" });
    const [model] = splitTag(job.spec.model), title = `job-${job.id}`;
    this.element = el("li", { class: "card job", "aria-labelledby": title, "data-job": job.id },
      el("header", {}, el("h3", { id: title }, model, " ", el("small", {}, moment(job.submitted))), this.status),
      el("p", { class: "places" }, el("code", {}, job.spec.input), " → ", el("code", {}, job.spec.output)),
      this.bar, this.progress, this.message,
      this.actions,
      el("details", { class: "fold" }, el("summary", {}, "Details"), this.facts, el("pre", { tabindex: "0" }, JSON.stringify(job.spec, null, 2))),
      this.said);
    this.update(job);
  }

  update(job) {
    this.job = job;
    this.status.textContent = job.status;
    this.status.className = `badge ${{ done: "good", failed: "wrong", running: "strong" }[job.status] ?? ""}`;
    this.drawProgress(job);
    this.message.textContent = job.message ?? "";
    this.message.hidden = !job.message;
    this.message.className = job.status === "failed" ? "bad" : "note";
    this.cancel.hidden = hasEnded(job);
    this.report.hidden = !job.has_report;
    this.actions.hidden = this.cancel.hidden && this.report.hidden;
    if (job.has_report) this.report.href = address(`jobs/${encodeURIComponent(job.id)}/report`);
    this.report.textContent = heldKey() ? "Download report" : "Report";
    const facts = [["id", job.id], ["submitted", moment(job.submitted)], ["begun", job.begun && moment(job.begun)], ["ended", job.ended && moment(job.ended)], ["exit code", job.exit_code]];
    this.facts.replaceChildren(...facts.filter(([, value]) => value !== null && value !== undefined).map(([name, value]) =>
      el("div", {}, el("dt", {}, name), el("dd", {}, el("code", {}, value)))));
  }

  drawProgress(job) {
    const { progress } = job;
    this.bar.hidden = job.status === "cancelled" || job.status === "failed" || (job.status === "queued" && !progress);
    this.bar.setAttribute("aria-label", `Progress of job ${job.id}`);
    if (!progress) {
      this.bar.removeAttribute("value"); // under way, and nothing to count yet
      this.progress.textContent = { queued: "waits for its turn", running: "planning" }[job.status] ?? endedWords(job);
      return;
    }
    const rows = progress.rows_done ?? null;
    const share = rows !== null && progress.rows ? rows / progress.rows : progress.shards ? progress.shards_done / progress.shards : 1;
    this.bar.value = job.status === "done" ? 1 : share;
    this.progress.textContent = [
      hasEnded(job) ? null : percent(share, 0),
      rows !== null && rows < progress.rows ? `${number(rows)} of ${count(progress.rows, "row")}` : count(progress.rows, "row"),
      progress.shards > 1 ? `${number(progress.shards_done)} of ${count(progress.shards, "shard")}` : null,
      progress.error_rows ? count(progress.error_rows, "error row") : null,
      progress.rows_per_s ? `${number(progress.rows_per_s)} rows/s` : null,
      !hasEnded(job) && progress.left_s !== null ? `${seconds(progress.left_s)} left` : null,
      hasEnded(job) ? endedWords(job) : null,
    ].filter(Boolean).join(" · ");
  }

  async askCancel() {
    if (!(await areYouSure("Cancel this job?", "What is committed stays; the same job, submitted again, goes on from there.", "Cancel the job"))) return;
    this.cancel.disabled = true;
    try {
      this.update((await ask(`jobs/${encodeURIComponent(this.job.id)}/cancel`, { method: "POST" })) ?? this.job);
    } catch (error) {
      say(this.said, error.message, "bad");
    } finally {
      this.cancel.disabled = false;
    }
  }

  /** A link cannot carry a key: with one, the report is fetched and kept as a file. */
  async openReport(event) {
    if (!heldKey()) return;
    event.preventDefault();
    try {
      const url = URL.createObjectURL(await fetchFile(`jobs/${encodeURIComponent(this.job.id)}/report`));
      el("a", { href: url, download: `report-${this.job.id}.html` }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
    } catch (error) {
      say(this.said, error.message, "bad");
    }
  }
}

function endedWords(job) {
  if (!job.ended) return "";
  const took = job.begun ? `took ${seconds((new Date(job.ended) - new Date(job.begun)) / 1000)} · ` : "";
  return `${took}ended ${moment(job.ended)}`;
}
