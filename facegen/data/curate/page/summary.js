// The summary: the raters' labels, their agreement, and the export to the manifest.

import { ask } from "./api.js";

const $ = (id) => document.getElementById(id);
const number = (value) => value.toLocaleString("en");

export async function fillSummary(rater) {
  const { total, raters, agreement, disputed } = await ask("api/summary");
  const rows = Object.entries(raters).map(([name, { keep, drop }]) => row([name, keep, drop, total - keep - drop]));
  $("raters").replaceChildren(...rows);
  $("state").textContent = stateOf(total, raters[rater]);
  $("agreement").textContent = agreementOf(agreement, rows.length);
  $("dispute").hidden = disputed === 0;
  $("dispute").textContent = disputed === 1 ? "Look again at the disputed face" : `Look again at the ${number(disputed)} disputed faces`;
}

export async function exportLabels() {
  const { manifest, keep, drop, ties, unlabelled } = await ask("api/export", {});
  return `${manifest} written: ${number(keep)} keep, ${number(drop)} drop` +
    (ties ? `; ${number(ties)} ties, left to clean` : "") + (unlabelled ? `; ${number(unlabelled)} not labelled.` : ".");
}

function stateOf(total, progress) {
  const done = progress ? progress.keep + progress.drop : 0;
  return done === total ? `You have labelled all ${number(total)} faces.` : `You have labelled ${number(done)} of ${number(total)} faces.`;
}

function agreementOf(found, raters) {
  if (!found) return "With a second rater on the same faces, their agreement shows here.";
  return `${raters === 2 ? "Both" : "All"} raters labelled ${number(found.faces)} of the same faces, ` +
    `and agree on ${(100 * found.same).toFixed(1)} %.`;
}

function row(cells) {
  const line = document.createElement("tr");
  cells.forEach((value, index) => {
    const cell = document.createElement(index === 0 ? "th" : "td");
    if (index === 0) cell.scope = "row";
    cell.textContent = index === 0 ? value : number(value);
    line.append(cell);
  });
  return line;
}
