// The page: what the service is asked, and what the controls do.

import { csvOf, shownThreshold, tableOf } from "./figures.js";
import { idsOfAnswer, STEPS, viewOf } from "./masks.js";
import { find, save } from "./parts.js";
import { ownPicture, pictureOf, seenOf } from "./seen.js";
import { describeService, predict } from "./service.js";
import { inWords, say, showAll, showFigures, showList, showMask, showModel, stage } from "./showing.js";
import { isTwo, seenNow, state, stepNow } from "./state.js";

// --- Asking -----------------------------------------------------------------------------------------------------

let queue = Promise.resolve();

/** Ask the service for what the model sees in an entry, one after the other, and show it. */
function ask(entry, which = state.model) {
  if (entry.seen.has(which.name) || entry.asked.has(which.name)) return;
  entry.asked.add(which.name);
  queue = queue.then(() => see(entry, which)).catch((error) => console.warn(error));
}

async function see(entry, which) {
  if (!state.entries.includes(entry)) return;
  if (entry === state.current) say(`${entry.name}: predicting with ${which.name} …`);
  try {
    if (entry.file.size > state.info.limits.image_bytes) {
      const most = (state.info.limits.image_bytes / 1e6).toPrecision(3);
      throw new Error(`the file has more than ${most} million bytes; choose a smaller one`);
    }
    await entry.file.slice(0, 1).arrayBuffer().catch(() => {
      throw new Error("cannot be read; choose it again, or the files in it if it is a folder");
    });
    const parts = ["masks", "mask_png"];
    if (which.classes.length === 2) parts.push("probabilities");
    if (entry.seen.size === 0 && !(await isShownHere(entry))) parts.push("preview");
    const answer = await predict(entry.file, which.name, { parts }, askToken);
    entry.seen.set(which.name, await seenOf(answer));
    entry.problem.delete(which.name);
  } catch (error) {
    entry.problem.set(which.name, error.message);
  }
  entry.asked.delete(which.name);
  showList();
  if (entry === state.current && which === state.model) {
    await showPicture(entry);
    showAll();
    const problem = entry.problem.get(which.name);
    say(problem ? `${entry.name}: ${problem}` : `${entry.name}: ${inWords()}`, Boolean(problem));
  }
}

/** Whether the browser has a picture of an entry; of others the service makes one. */
async function isShownHere(entry) {
  const picture = await ownPicture(entry.file);
  picture?.close();
  return picture !== null;
}

/** Return the answer at the threshold that is chosen now: the service's own, never one that the page made. */
async function answerNow() {
  const seen = seenNow(), step = stepNow(), which = state.model;
  if (step === null) return seen.answer;
  if (seen.again?.step !== step) {
    say(`measuring at ${(step / STEPS).toFixed(3)} …`);
    const asked = { threshold: step / STEPS, parts: ["masks", "mask_png"] };
    const answer = await predict(state.current.file, which.name, asked, askToken);
    seen.again = { step, answer, ids: idsOfAnswer(answer, seen.view) };
    showAll();
    say(inWords());
  }
  return seen.again.answer;
}

// --- Doing ------------------------------------------------------------------------------------------------------

function add(files) {
  if (state.model === null) return; // nothing is known yet that could see them
  let first = null;
  for (const file of files) {
    const entry = { name: file.name, file, seen: new Map(), problem: new Map(), asked: new Set() };
    state.entries.push(entry);
    first ??= entry;
    ask(entry);
  }
  if (first) look(first);
}

/** Look at a picture: at once as the browser shows it, else when the service has made one of it. */
async function look(entry) {
  state.current = entry;
  ask(entry);
  showList();
  await showPicture(entry);
  if (entry !== state.current) return;
  showAll();
  say(`${entry.name}: ${inWords()}`, entry.problem.has(state.model.name));
}

async function showPicture(entry) {
  if (state.pictured === entry) return;
  const [seen] = entry.seen.values();
  const preview = seen?.answer.preview;
  const picture = preview ? await pictureOf(preview) : await ownPicture(entry.file);
  if (entry !== state.current || state.pictured === entry) { // meanwhile another one, or this one, was shown
    picture?.close();
    return;
  }
  state.pictured = picture === null ? null : entry;
  const size = seen?.view ?? (picture && viewOf(picture.width, picture.height));
  stage.show(picture, size ?? { width: 1, height: 1 }, true);
}

function turn(by) {
  const { entries, current } = state;
  if (entries.length) look(entries[(entries.indexOf(current) + by + entries.length) % entries.length]);
}

function take(name) {
  state.model = state.info.models.find((one) => one.name === name);
  find("model").value = name;
  showModel();
  for (const entry of state.entries) ask(entry);
  showList();
  showAll();
  if (state.current) say(`${state.model.name}: ${inWords()}`);
}

function moveThreshold(step) {
  if (!isTwo() || seenNow() === null) return;
  if (step === null) state.steps.delete(state.model.name);
  else state.steps.set(state.model.name, Math.min(STEPS, Math.max(1, step)));
  showAll();
  say(inWords());
}

function toggleCover() {
  state.coverShown = !state.coverShown;
  find("overlay-shown").setAttribute("aria-pressed", String(state.coverShown));
  showMask();
}

const stem = () => state.current.name.replace(/\.[^.]+$/, "");

/** Let a button do what takes time, once, and say what went wrong. */
function does(id, work) {
  const button = find(id);
  button.addEventListener("click", async () => {
    button.disabled = true;
    await work().catch((error) => say(error.message, true));
    button.disabled = false;
    if (state.model) showFigures(); // what is looked at now may have no mask yet
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
  save("ocuseg.csv", csvOf(tableOf(state.entries, state.model.name, stepNow(), threshold)), "text/csv");
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
find("list").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button === null) return;
  look(state.entries[button.dataset.entry]);
  find("list").querySelector('[aria-current="true"]').focus();
});
find("next").addEventListener("click", () => turn(1));
find("previous").addEventListener("click", () => turn(-1));

const STEP_PX = 60;
const KEYS = {
  "+": () => stage.zoom(1.25), "=": () => stage.zoom(1.25), "-": () => stage.zoom(0.8), "0": () => stage.fit(),
  ArrowLeft: () => stage.move(STEP_PX, 0), ArrowRight: () => stage.move(-STEP_PX, 0),
  ArrowUp: () => stage.move(0, STEP_PX), ArrowDown: () => stage.move(0, -STEP_PX),
  o: toggleCover, n: () => turn(1), p: () => turn(-1),
  m: () => {
    const { models } = state.info;
    take(models[(models.indexOf(state.model) + 1) % models.length].name);
  },
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
  if (state.model) add(event.dataTransfer.files);
});

// --- Start ------------------------------------------------------------------------------------------------------

find("opacity").dispatchEvent(new Event("input"));
find("files").disabled = true;
try {
  state.info = await describeService(askToken);
  find("notice").textContent = state.info.notice;
  find("model").replaceChildren(...state.info.models.map(({ name }) => new Option(name, name)));
  find("files").disabled = false;
  take(state.info.models[0].name);
} catch (error) {
  say(error.message, true);
}
