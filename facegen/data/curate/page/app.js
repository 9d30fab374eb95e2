// The page: shows one face at a time, and reacts to keys, buttons and swipes.

import { Outbox, ask } from "./api.js";
import { Deck } from "./deck.js";
import { exportLabels, fillSummary } from "./summary.js";

const $ = (id) => document.getElementById(id);
const FEW = 15;
const PAST = { keep: "Kept", drop: "Dropped" };

let rater = "";
let faces = []; // to label, the visible one first
let history = []; // labelled, the latest last
let end = 0; // position up to which the server has sent faces
let isAll = false; // the server has no further faces
let isFetching = false;
let deck;
const outbox = new Outbox(showProgress, showTrouble);

async function start() {
  const { set, rater: given, raters, sides } = await ask("api/start");
  $("set").textContent = set;
  document.title = `Curate ${set}`;
  deck = new Deck($("deck"), sides, decide, (isZoomed) => $("zoom").setAttribute("aria-pressed", String(isZoomed)));
  const name = new URLSearchParams(location.search).get("rater") ?? given ?? sessionStorage.getItem("rater");
  if (name) await open(name);
  else askWho(raters);
}

async function open(name) {
  const session = await ask(`api/session?rater=${encodeURIComponent(name)}`);
  rater = name;
  sessionStorage.setItem("rater", name);
  $("who").textContent = name;
  $("who-button").hidden = $("summary-button").hidden = false;
  ({ faces, history } = session);
  end = (faces.at(-1)?.position ?? -1) + 1;
  isAll = false;
  showProgress(session.progress);
  showFace();
  fetchMore();
}

function askWho(raters) {
  $("known").replaceChildren(...raters.map((name) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => chooseWho(name));
    return button;
  }));
  $("who-name").value = "";
  $("who-error").textContent = "";
  $("who-dialog").showModal();
}

async function chooseWho(name) {
  try {
    await open(name);
    $("who-dialog").close();
  } catch (error) {
    $("who-error").textContent = error.message;
  }
}

function decide(label) {
  if ($("labelling").hidden || outbox.isStuck || !deck.isShown) return;
  const face = faces.shift();
  history.push({ ...face, label, before: face.label });
  outbox.send({ rater, face: face.key, label });
  deck.dismiss(label);
  say(`${PAST[label]}.`);
  fetchMore();
  showFace();
}

function undo() {
  if (outbox.isStuck || history.length === 0) return;
  const face = history.pop();
  const label = face.before ?? "";
  faces.unshift({ ...face, label });
  outbox.send({ rater, face: face.key, label });
  say(`Taken back: ${PAST[face.label].toLowerCase()}.`);
  showFace();
}

/** Fetch further faces if only few are left. */
async function fetchMore() {
  if (isFetching || isAll || faces.length >= FEW) return;
  const asking = rater;
  isFetching = true;
  try {
    const more = await ask(`api/faces?rater=${encodeURIComponent(asking)}&start=${end}`);
    if (asking !== rater) return;
    faces.push(...more.filter((face) => !faces.some(({ key }) => key === face.key)));
    isAll = more.length === 0;
    end = (more.at(-1)?.position ?? end - 1) + 1;
  } catch (error) {
    showTrouble(error.message);
  } finally {
    isFetching = false;
  }
  if (!$("labelling").hidden) showFace();
}

function showFace() {
  const [face] = faces;
  $("undo").disabled = history.length === 0;
  if (!face && isAll) {
    showSummary();
    return;
  }
  $("labelling").hidden = false;
  $("summary").hidden = true;
  deck.show(faces);
  $("name").textContent = face?.name ?? "";
  $("reasons").replaceChildren(...remarks(face));
}

function remarks(face) {
  if (!face) return [];
  const label = face.label ? [{ text: `you: ${face.label}`, kind: face.label }] : [];
  const decision = face.decision ? [{ text: `clean: ${face.decision}`, kind: face.decision }] : [];
  return [...label, ...decision, ...face.reasons.map((text) => ({ text, kind: "" }))].map(({ text, kind }) => {
    const item = document.createElement("li");
    item.textContent = text;
    item.className = kind;
    return item;
  });
}

function showProgress({ total, keep, drop, seconds_each: seconds }) {
  const done = keep + drop;
  const parts = [`${done.toLocaleString("en")} of ${total.toLocaleString("en")}`];
  if (seconds) parts.push(`${Math.round(60 / seconds)} a minute`);
  if (seconds && done < total) parts.push(`${duration((total - done) * seconds)} left`);
  $("progress").textContent = parts.join(" · ");
  $("bar").max = total;
  $("bar").value = done;
}

function duration(seconds) {
  const minutes = Math.ceil(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

async function showSummary() {
  $("exported").textContent = ""; // before a click can export
  $("labelling").hidden = true;
  $("summary").hidden = false;
  $("back").hidden = faces.length === 0;
  await saved();
  await report(() => fillSummary(rater));
  $("summary-title").focus();
}

/** Show the faces again on which raters differ, before those that are not labelled yet. */
async function reviewDisputed() {
  const disputed = await ask(`api/disputed?rater=${encodeURIComponent(rater)}`);
  const keys = new Set(disputed.map((face) => face.key));
  faces = [...disputed, ...faces.filter((face) => !keys.has(face.key))];
  showFace();
}

/** Wait until every label is on the disk. */
async function saved() {
  while (outbox.count > 0) await new Promise((resolve) => setTimeout(resolve, 50));
}

async function report(work) {
  try {
    await work();
    showTrouble("");
  } catch (error) {
    showTrouble(error.message);
  }
}

function showTrouble(text) {
  $("trouble").textContent = text;
  $("trouble").hidden = text === "";
}

function say(text) {
  $("said").textContent = text;
}

const KEYS = {
  ArrowLeft: () => decide("drop"),
  ArrowRight: () => decide("keep"),
  z: undo,
  Backspace: undo,
  " ": () => deck.setZoom(!deck.isZoomed),
};

document.addEventListener("keydown", (event) => {
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  const isElsewhere = $("who-dialog").open || $("labelling").hidden || event.ctrlKey || event.metaKey || event.altKey;
  const isPress = event.key === " " && event.target.matches("button:focus-visible");
  if (!act || isElsewhere || isPress) return;
  event.preventDefault();
  if (!event.repeat) act(); // a key held down must not label unseen faces
});

function onClick(id, act) {
  $(id).addEventListener("click", (event) => {
    if (event.detail > 0) $(id).blur(); // after a click with the mouse, Space zooms again
    act();
  });
}

onClick("drop", () => decide("drop"));
onClick("keep", () => decide("keep"));
onClick("undo", undo);
onClick("zoom", () => deck.setZoom(!deck.isZoomed));
onClick("summary-button", showSummary);
onClick("back", showFace);
onClick("dispute", () => report(reviewDisputed));
onClick("export", () => report(async () => { $("exported").textContent = await exportLabels(); }));
onClick("who-button", () => report(async () => askWho((await ask("api/start")).raters)));
$("who-dialog").addEventListener("submit", (event) => {
  event.preventDefault();
  chooseWho($("who-name").value.trim());
});
$("who-dialog").addEventListener("cancel", (event) => {
  if (!rater) event.preventDefault(); // the page needs a rater
});
window.addEventListener("beforeunload", (event) => {
  if (outbox.count > 0) event.preventDefault();
});

report(start);
