// The page: which pictures and models there are, what is shown of them, and what the controls do.

import { csvOf, figuresOf, MEASURES, percent, shownThreshold, tableOf } from "./figures.js";
import { idsAtThreshold, idsOfAnswer, paint, STEPS, viewOf } from "./masks.js";
import { colourInput, heading, number, row, save } from "./parts.js";
import { pictureOf, seenOf } from "./seen.js";
import { describeService, predict } from "./service.js";
import { Stage } from "./stage.js";

const find = (id) => document.getElementById(id);
const stage = new Stage(find("stage"), find("canvas"));

let info = null; // what the service says of itself
let model = null; // the one that is looked at, a part of `info`
let current = null; // the picture that is looked at, one of `entries`
let pictured = null; // the one whose picture the stage has
const entries = []; // {name, file, seen: name of model -> what it saw, problem: name of model -> text, asked: names}
const steps = new Map(); // name of model -> threshold in 1 / 200, absent for its own
const hidden = new Map(); // name of model -> ids of the classes that are switched off
const SHOWN_BY_BROWSERS = /\.(png|jpe?g|gif|bmp|webp)$/i; // of others the service makes a picture
let coverShown = true;
let queue = Promise.resolve();

// --- What is seen -----------------------------------------------------------------------------------------------

const stepNow = () => steps.get(model.name) ?? null;
const seenNow = () => current?.seen.get(model.name) ?? null;
const isTwo = () => model.classes.length === 2;

/** Ask the service for what the model sees in an entry, one after the other, and show it. */
function ask(entry, which = model) {
  if (entry.seen.has(which.name) || entry.asked.has(which.name)) return;
  entry.asked.add(which.name);
  queue = queue.then(() => see(entry, which)).catch((error) => console.warn(error));
}

async function see(entry, which) {
  if (!entries.includes(entry)) return;
  if (entry === current) say(`${entry.name}: predicting with ${which.name} …`);
  try {
    if (entry.file.size > info.limits.image_bytes) {
      throw new Error(`the file has more than ${(info.limits.image_bytes / 1e6).toPrecision(3)} million bytes`);
    }
    const parts = ["masks", "mask_png"];
    if (which.classes.length === 2) parts.push("probabilities");
    if (!SHOWN_BY_BROWSERS.test(entry.name)) parts.push("preview");
    const answer = await predict(entry.file, which.name, { parts }, askToken);
    entry.seen.set(which.name, await seenOf(answer));
    entry.problem.delete(which.name);
  } catch (error) {
    entry.problem.set(which.name, error.message);
  }
  entry.asked.delete(which.name);
  showList();
  if (entry === current && which === model) {
    await showPicture(entry);
    showAll();
    const problem = entry.problem.get(which.name);
    say(problem ? `${entry.name}: ${problem}` : `${entry.name}: ${inWords()}`, Boolean(problem));
  }
}

/** Return the answer at the threshold that is chosen now: the service's own, never one that the page made. */
async function answerNow() {
  const seen = seenNow(), step = stepNow(), which = model;
  if (step === null) return seen.answer;
  if (seen.again?.step !== step) {
    say(`measuring at ${(step / STEPS).toFixed(3)} …`);
    const asked = { threshold: step / STEPS, parts: ["masks", "mask_png"] };
    const answer = await predict(current.file, which.name, asked, askToken);
    seen.again = { step, answer, ids: idsOfAnswer(answer, seen.view) };
    showAll();
    say(inWords());
  }
  return seen.again.answer;
}

// --- Showing ----------------------------------------------------------------------------------------------------

function showAll() {
  showMask();
  showFigures();
  showThreshold();
  showFlags();
}

function showMask() {
  const seen = seenNow(), step = stepNow();
  find("hint").hidden = current !== null;
  if (seen === null || !coverShown) {
    stage.cover(null);
  } else {
    const off = hidden.get(model.name) ?? new Set();
    const shown = new Set(model.classes.map(({ id }) => id).filter((id) => !off.has(id)));
    const again = seen.again?.step === step ? seen.again.ids : null;
    const ids = step === null ? seen.ids : again ?? idsAtThreshold(seen.levels, step).ids;
    stage.cover(paint(ids, model.classes, shown, seen.view));
  }
}

function showFigures() {
  const seen = seenNow();
  const figures = seen === null ? null : figuresOf(seen, stepNow());
  showClasses(figures);
  const names = seen === null ? [] : Object.keys(MEASURES).filter((name) => name in seen.answer.measures);
  find("measures").hidden = names.length === 0;
  find("measures").tBodies[0].replaceChildren(...names.map((name) => {
    const [title, format] = MEASURES[name];
    const value = figures.measures[name];
    return row(heading(title), number(value === undefined || value === null ? "–" : format(value), name));
  }));
  const note = find("measures-note");
  note.hidden = figures === null || (figures.whole && figures.exact);
  note.textContent = figures?.exact === false ? "Counted in the reduced picture; measure for exact numbers."
    : "Lengths and widths are measured by the service.";
  find("measure-again").hidden = note.hidden;
  for (const id of ["save-mask", "save-overlay"]) find(id).disabled = seen === null;
  find("save-table").disabled = !entries.some((entry) => entry.seen.has(model?.name));
  find("canvas").setAttribute("aria-label", current === null ? "No picture yet" : `${current.name}: ${inWords()}`);
}

function showClasses(figures) {
  const off = hidden.get(model.name) ?? new Set();
  const withParents = model.classes.some(({ parent }) => parent !== null);
  find("parent-head").hidden = !withParents;
  const body = find("classes").tBodies[0];
  const kept = document.activeElement?.closest?.("#classes") ? document.activeElement.id : null;
  body.replaceChildren(...model.classes.filter(({ listed }) => listed).map(({ id, name, colour }) => {
    const area = figures?.areas.find(({ class_id }) => class_id === id);
    const show = document.createElement("td");
    if (id > 0) {
      const box = document.createElement("input");
      Object.assign(box, { type: "checkbox", id: `class-${id}`, checked: !off.has(id) });
      box.setAttribute("aria-label", `Show ${name}`);
      box.addEventListener("change", () => {
        if (box.checked) off.delete(id); else off.add(id);
        hidden.set(model.name, off);
        showMask();
      });
      show.append(box);
    }
    const title = heading("");
    if (id > 0) {
      title.append(colourInput(name, colour, (other) => {
        model.classes[id].colour = other;
        showMask();
      }));
    }
    title.append(name);
    const cells = [show, title, number(area ? area.pixels.toLocaleString("en") : "–", `pixels-${id}`),
      number(area ? percent(area.share_of_image) : "–", `share-${id}`)];
    if (withParents) cells.push(number(area ? percent(area.share_of_parent) : "–"));
    return row(...cells);
  }));
  if (kept) find(kept)?.focus();
}

function showThreshold() {
  find("threshold-field").hidden = !isTwo();
  if (!isTwo()) return;
  const step = stepNow(), slider = find("threshold");
  const value = shownThreshold(step, model.threshold);
  slider.value = Math.round(value * STEPS);
  slider.disabled = seenNow() === null;
  slider.setAttribute("aria-valuetext", value.toFixed(3));
  const chosen = model.threshold_chosen_on ? `, chosen on ${model.threshold_chosen_on}` : "";
  find("threshold-said").textContent = step === null ? `${value.toFixed(3)}${chosen}` : value.toFixed(3);
  find("threshold-own").disabled = step === null;
}

function showFlags() {
  const flags = seenNow()?.answer.flags ?? [];
  find("flags").hidden = flags.length === 0;
  find("flags").textContent = flags.length === 0 ? ""
    : `Differs from the pictures that the model was made for: ${flags.join(", ")}. Do not trust its mask unseen.`;
}

function showList() {
  find("list").replaceChildren(...entries.map((entry) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(entry.name);
    button.setAttribute("aria-current", String(entry === current));
    const line = document.createElement("small");
    const seen = entry.seen.get(model.name), problem = entry.problem.get(model.name);
    if (problem) {
      line.className = "bad";
      line.textContent = problem;
    } else if (!seen) {
      line.textContent = "waiting …";
    } else {
      const area = seen.answer.areas.filter(({ class_id }) => class_id > 0);
      line.textContent = area.length === 1 ? `${area[0].name} ${percent(area[0].share_of_image)}`
        : `${area.filter(({ pixels }) => pixels > 0).length} of ${area.length} classes`;
      if (seen.answer.flags.length) {
        const odd = document.createElement("span");
        odd.className = "odd";
        odd.textContent = "differs";
        line.append(" ", odd);
      }
    }
    button.append(line);
    button.addEventListener("click", () => {
      look(entry);
      find("list").querySelector('[aria-current="true"]')?.focus();
    });
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
  for (const id of ["previous", "next"]) find(id).disabled = entries.length < 2;
}

function showModel() {
  const facts = [["Licence", model.licence || "not given"], ["Runtime", model.runtime],
    ["Threshold", model.threshold ?? "the most probable class"], ["Digest", model.digest.slice(0, 16)]];
  find("model-facts").replaceChildren(...facts.flatMap(([name, value]) => {
    const [term, said] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = name;
    said.textContent = value;
    return [term, said];
  }));
  find("model-card").textContent = model.card;
}

/** The mask in a few words, for those who do not see it. */
function inWords() {
  const seen = seenNow();
  if (seen === null) return current?.problem.get(model.name) ?? "waiting";
  const { areas, measures } = figuresOf(seen, stepNow());
  const parts = areas.filter(({ class_id }) => class_id > 0)
    .map(({ name, share_of_image }) => `${name} ${percent(share_of_image)} of the image`);
  if (measures.vessel_density !== undefined) parts.push(`vessel density ${measures.vessel_density.toFixed(4)}`);
  if (seen.answer.flags.length) parts.push("differs from the pictures that the model was made for");
  return parts.join(", ");
}

function say(text, isBad = false) {
  find("status").textContent = text;
  find("status").classList.toggle("bad", isBad);
}

// --- Doing ------------------------------------------------------------------------------------------------------

function add(files) {
  if (model === null) return; // nothing is known yet that could see them
  let first = null;
  for (const file of files) {
    const entry = { name: file.name, file, seen: new Map(), problem: new Map(), asked: new Set() };
    entries.push(entry);
    first ??= entry;
    ask(entry);
  }
  if (first) look(first);
}

/** Look at a picture: at once as the browser shows it, else when the service has made one of it. */
async function look(entry) {
  current = entry;
  ask(entry);
  showList();
  await showPicture(entry);
  if (entry !== current) return;
  showAll();
  say(`${entry.name}: ${inWords()}`, entry.problem.has(model.name));
}

async function showPicture(entry) {
  if (pictured === entry) return;
  const seen = [...entry.seen.values()][0];
  let picture = await createImageBitmap(entry.file).catch(() => null);
  if (picture === null && seen?.answer.preview) picture = await pictureOf(seen.answer.preview);
  if (entry !== current) return;
  pictured = picture === null ? null : entry;
  const size = seen?.view ?? (picture && viewOf(picture.width, picture.height));
  stage.show(picture, size ?? { width: 1, height: 1 }, true);
}

function turn(by) {
  if (entries.length) look(entries[(entries.indexOf(current) + by + entries.length) % entries.length]);
}

function take(name) {
  model = info.models.find((one) => one.name === name);
  find("model").value = name;
  showModel();
  for (const entry of entries) ask(entry);
  showList();
  showAll();
  if (current) say(`${model.name}: ${inWords()}`);
}

function moveThreshold(step) {
  if (!isTwo() || seenNow() === null) return;
  if (step === null) steps.delete(model.name);
  else steps.set(model.name, Math.min(STEPS, Math.max(1, step)));
  showAll();
  say(inWords());
}

function toggleCover() {
  coverShown = !coverShown;
  find("overlay-shown").setAttribute("aria-pressed", String(coverShown));
  showMask();
}

const stem = () => current.name.replace(/\.[^.]+$/, "");

/** Let a button do what takes time, once, and say what went wrong. */
function does(id, work) {
  const button = find(id);
  button.addEventListener("click", async () => {
    button.disabled = true;
    await work().catch((error) => say(error.message, true));
    button.disabled = false;
  });
}

function askToken() {
  const dialog = find("token-dialog");
  return new Promise((done) => {
    dialog.addEventListener("close", () => done(find("token").value), { once: true });
    find("token").value = "";
    dialog.showModal();
  });
}

// --- Controls ---------------------------------------------------------------------------------------------------

does("save-mask", async () => {
  const name = `${stem()}_mask.png`;
  const bytes = Uint8Array.from(atob((await answerNow()).mask_png), (letter) => letter.charCodeAt(0));
  save(name, bytes, "image/png");
});
does("save-overlay", async () => save(`${stem()}_overlay.png`, await stage.copy().convertToBlob({ type: "image/png" })));
does("save-table", async () => {
  const threshold = (seen) => shownThreshold(stepNow(), seen.answer.threshold);
  save("ocuseg.csv", csvOf(tableOf(entries, model.name, stepNow(), threshold)), "text/csv");
});
does("measure-again", answerNow);

find("files").addEventListener("change", (event) => {
  add(event.target.files);
  event.target.value = "";
});
find("model").addEventListener("change", (event) => take(event.target.value));
find("opacity").addEventListener("input", (event) => {
  stage.opacity = event.target.value / 100;
  find("opacity-said").textContent = `${event.target.value} %`;
  event.target.setAttribute("aria-valuetext", `${event.target.value} percent`);
  stage.draw();
});
find("threshold").addEventListener("input", (event) => moveThreshold(Number(event.target.value)));
find("threshold-own").addEventListener("click", () => moveThreshold(null));
find("zoom-in").addEventListener("click", () => stage.zoom(1.5));
find("zoom-out").addEventListener("click", () => stage.zoom(1 / 1.5));
find("fit").addEventListener("click", () => stage.fit());
find("overlay-shown").addEventListener("click", toggleCover);
find("next").addEventListener("click", () => turn(1));
find("previous").addEventListener("click", () => turn(-1));

const STEP_PX = 60;
const KEYS = {
  "+": () => stage.zoom(1.25), "=": () => stage.zoom(1.25), "-": () => stage.zoom(0.8), "0": () => stage.fit(),
  ArrowLeft: () => stage.move(STEP_PX, 0), ArrowRight: () => stage.move(-STEP_PX, 0),
  ArrowUp: () => stage.move(0, STEP_PX), ArrowDown: () => stage.move(0, -STEP_PX),
  o: toggleCover, n: () => turn(1), p: () => turn(-1),
  m: () => take(info.models[(info.models.indexOf(model) + 1) % info.models.length].name),
  "[": () => moveThreshold(Number(find("threshold").value) - 1),
  "]": () => moveThreshold(Number(find("threshold").value) + 1),
};
find("stage").addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
  event.preventDefault();
  KEYS[event.key]();
});

for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
}
document.addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) document.body.classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  if (model) add(event.dataTransfer.files);
});

// --- Start ------------------------------------------------------------------------------------------------------

find("opacity").dispatchEvent(new Event("input"));
find("files").disabled = true;
try {
  info = await describeService(askToken);
  find("notice").textContent = info.notice;
  find("model").replaceChildren(...info.models.map(({ name }) => new Option(name, name)));
  find("files").disabled = false;
  take(info.models[0].name);
} catch (error) {
  say(error.message, true);
}
