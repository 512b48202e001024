// What is looked at on the page: the mask on the stage, figures, flags, the list of pictures, and all of it in words.

import { figuresOf, MEASURES, percent, shownThreshold } from "./figures.js";
import { idsAtThreshold, paint, STEPS } from "./masks.js";
import { colourInput, find, heading, number, row, small } from "./parts.js";
import { Stage } from "./stage.js";
import { isTwo, seenNow, state, stepNow } from "./state.js";

export const stage = new Stage(find("stage"), find("canvas"));

export function showAll() {
  showMask();
  showFigures();
  showThreshold();
  showFlags();
}

export function showMask() {
  const seen = seenNow(), step = stepNow();
  find("hint").hidden = state.current !== null;
  if (seen === null || !state.coverShown) {
    stage.cover(null);
  } else {
    const off = state.hidden.get(state.model.name) ?? new Set();
    const shown = new Set(state.model.classes.map(({ id }) => id).filter((id) => !off.has(id)));
    const again = seen.again?.step === step ? seen.again.ids : null;
    const ids = step === null ? seen.ids : again ?? idsAtThreshold(seen.levels, step).ids;
    stage.cover(paint(ids, state.model.classes, shown, seen.view));
  }
}

export function showFigures() {
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
  find("save-table").disabled = !state.entries.some((entry) => entry.seen.has(state.model?.name));
  const said = state.current === null ? "No picture yet" : `${state.current.name}: ${inWords()}`;
  find("canvas").setAttribute("aria-label", said);
}

function showClasses(figures) {
  const off = state.hidden.get(state.model.name) ?? new Set();
  const withParents = state.model.classes.some(({ parent }) => parent !== null);
  find("parent-head").hidden = !withParents;
  const body = find("classes").tBodies[0];
  const kept = document.activeElement?.closest?.("#classes") ? document.activeElement.id : null;
  body.replaceChildren(...state.model.classes.filter(({ listed }) => listed).map(({ id, name, colour }) => {
    const area = figures?.areas.find(({ class_id }) => class_id === id);
    const show = document.createElement("td");
    if (id > 0) {
      const box = document.createElement("input");
      Object.assign(box, { type: "checkbox", id: `class-${id}`, checked: !off.has(id) });
      box.setAttribute("aria-label", `Show ${name}`);
      box.addEventListener("change", () => {
        if (box.checked) off.delete(id); else off.add(id);
        state.hidden.set(state.model.name, off);
        showMask();
      });
      show.append(box);
    }
    const title = heading("");
    if (id > 0) {
      title.append(colourInput(name, colour, (other) => {
        state.model.classes[id].colour = other;
        showMask();
      }));
    }
    title.append(name);
    const cells = [show, title, number(area ? area.pixels.toLocaleString("en") : "–", `pixels-${id}`),
      number(area ? percent(area.share_of_image) : "–", `share-${id}`)];
    if (withParents) cells.push(number(area ? percent(area.share_of_parent) : "–"));
    if (typeof area?.area_mm2 === "number") cells[2].append(small(`${area.area_mm2.toFixed(3)} mm²`, `size-${id}`));
    return row(...cells);
  }));
  if (kept) find(kept)?.focus();
}

function showThreshold() {
  find("threshold-field").hidden = !isTwo();
  if (!isTwo()) return;
  const step = stepNow(), slider = find("threshold");
  const value = shownThreshold(step, state.model.threshold);
  slider.value = Math.round(value * STEPS);
  slider.disabled = seenNow() === null;
  slider.setAttribute("aria-valuetext", value.toFixed(3));
  const chosen = state.model.threshold_chosen_on ? `, chosen on ${state.model.threshold_chosen_on}` : "";
  find("threshold-said").textContent = step === null ? `${value.toFixed(3)}${chosen}` : value.toFixed(3);
  find("threshold-own").disabled = step === null;
}

function showFlags() {
  const flags = seenNow()?.answer.flags ?? [];
  find("flags").hidden = flags.length === 0;
  find("flags").textContent = flags.length === 0 ? ""
    : `Differs from the pictures that the model was made for: ${flags.join(", ")}. Do not trust its mask unseen.`;
}

export function showList() {
  find("list").replaceChildren(...state.entries.map((entry, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.entry = index;
    button.append(entry.name);
    button.setAttribute("aria-current", String(entry === state.current));
    const line = document.createElement("small");
    const seen = entry.seen.get(state.model.name), problem = entry.problem.get(state.model.name);
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
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
  for (const id of ["previous", "next"]) find(id).disabled = state.entries.length < 2;
}

export function showModel() {
  const facts = [["Licence", state.model.licence || "not given"], ["Runtime", state.model.runtime],
    ["Threshold", state.model.threshold ?? "the most probable class"], ["Digest", state.model.digest.slice(0, 16)]];
  find("model-facts").replaceChildren(...facts.flatMap(([name, value]) => {
    const [term, said] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = name;
    said.textContent = value;
    return [term, said];
  }));
  find("model-card").textContent = state.model.card;
}

const EYES = { R: "right eye", L: "left eye", B: "both eyes" };

/** The mask in a few words, for those who do not see it. */
export function inWords() {
  const seen = seenNow();
  if (seen === null) return state.current?.problem.get(state.model.name) ?? "waiting";
  const { areas, measures } = figuresOf(seen, stepNow());
  const parts = areas.filter(({ class_id }) => class_id > 0)
    .map(({ name, share_of_image }) => `${name} ${percent(share_of_image)} of the image`);
  if (measures.vessel_density !== undefined) parts.push(`vessel density ${measures.vessel_density.toFixed(4)}`);
  const eye = EYES[seen.answer.areas[0]?.laterality];
  if (eye) parts.push(eye);
  parts.push(...seen.answer.notes);
  if (seen.answer.flags.length) parts.push("differs from the pictures that the model was made for");
  return parts.join(", ");
}

export function say(text, isBad = false) {
  find("status").textContent = text;
  find("status").classList.toggle("bad", isBad);
}

