// What is said of a mask in numbers: areas and measures, in words, in tables and as CSV.

import { idsAtThreshold, STEPS } from "./masks.js";

export const MEASURES = {
  vessel_density: ["Vessel density", (value) => value.toFixed(4)],
  skeleton_density: ["Skeleton density", (value) => value.toFixed(4)],
  skeleton_length_px: ["Skeleton length, px", (value) => Math.round(value).toLocaleString("en")],
  mean_width_px: ["Mean width, px", (value) => value.toFixed(2)],
  mean_width_share: ["Mean width / diameter", (value) => value.toFixed(5)],
  field_of_view_diameter_px: ["Field of view, px", (value) => value.toLocaleString("en")],
};

/**
 * Return the areas and measures of what a model saw, at step k / 200 of its threshold or at its own (null).
 *
 * `exact` is false where the page counted in a picture that is reduced. What cannot be counted here is left out.
 */
export function figuresOf(seen, step) {
  const { answer } = seen;
  if (step === null) return { areas: answer.areas, measures: answer.measures, exact: true, whole: true };
  if (seen.again?.step === step) {
    return { areas: seen.again.answer.areas, measures: seen.again.answer.measures, exact: true, whole: true };
  }
  const { pixels, inside } = idsAtThreshold(seen.levels, step, seen.area);
  const share = pixels / seen.levels.length;
  const exact = seen.view.factor === 1;
  const [own] = answer.areas;
  const shown = exact ? pixels : Math.round(share * answer.width * answer.height);
  const pixel_mm2 = own.area_mm2 === null || own.pixels === 0 ? null : own.area_mm2 / own.pixels;
  const area = {
    ...own, share_of_image: share, pixels: shown, area_mm2: pixel_mm2 === null ? null : shown * pixel_mm2,
  };
  const { field_of_view_diameter_px } = answer.measures; // whatever the mask
  const measures = seen.area === null ? {} : { field_of_view_diameter_px, vessel_density: inside / seen.areaPx };
  const whole = (area.area_mm2 === null) === (own.area_mm2 === null) &&
    Object.keys(answer.measures).length === Object.keys(measures).length;
  return { areas: [area], measures, exact, whole };
}

export function percent(share) {
  return share === null || share === undefined ? "–" : `${(100 * share).toFixed(2)} %`;
}

/** Return the rows of the table that is downloaded, the names of the columns first. */
export function tableOf(entries, model, step, thresholdOf) {
  const names = Object.keys(MEASURES).filter((name) =>
    entries.some((entry) => name in (entry.seen.get(model)?.answer?.measures ?? {})));
  const medical = ["area_mm2", "laterality"].filter((name) =>
    entries.some((entry) => entry.seen.get(model)?.answer?.areas.some((area) => area[name] !== null)));
  const rows = [["image", "model", "threshold", "class_id", "class", "pixels", "share_of_image", "parent",
    "share_of_parent", ...medical, ...names, "flags"]];
  for (const entry of entries) {
    const seen = entry.seen.get(model);
    if (!seen?.answer) continue;
    const { areas, measures } = figuresOf(seen, step);
    for (const area of areas) {
      rows.push([entry.name, model, thresholdOf(seen), area.class_id, area.name, area.pixels,
        rounded(area.share_of_image), area.parent, rounded(area.share_of_parent),
        ...medical.map((name) => rounded(area[name], 9)),
        ...names.map((name) => rounded(measures[name])), seen.answer.flags.join("; ")]);
    }
  }
  return rows;
}

export function csvOf(rows) {
  const cell = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

function rounded(value, decimals = 6) {
  return typeof value === "number" ? Number(value.toFixed(decimals)) : value;
}

export function shownThreshold(step, own) {
  return step === null ? own : step / STEPS;
}
