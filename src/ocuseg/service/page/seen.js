// What a model saw in a picture, kept as the page needs it: pixels instead of run lengths and base64.

import { drawRuns, idsOfAnswer, levelsOf, viewOf } from "./masks.js";

/** Return an answer of the service in the form in which it is looked at. */
export async function seenOf(answer) {
  const view = viewOf(answer.width, answer.height);
  const seen = { answer, view, ids: idsOfAnswer(answer, view), levels: null, area: null, areaPx: 0, again: null };
  if (answer.probabilities) seen.levels = await levelsOf(answer.probabilities[0].png, view);
  if (answer.field_of_view) {
    seen.area = new Uint8Array(view.width * view.height);
    drawRuns(answer.field_of_view, 1, view, seen.area);
    seen.areaPx = seen.area.reduce((sum, value) => sum + value, 0);
  }
  return seen;
}

/** Return the picture of a file by the browser, or null where that shows none, or not as the model sees it. */
export async function ownPicture(file) {
  try {
    const head = new Uint8Array(await file.slice(0, 25).arrayBuffer());
    // Of 16 bits a browser shows the high ones, next to nothing of a picture that fills 10 or 12.
    const isDeepPng = head[0] === 0x89 && head[1] === 0x50 && head[24] === 16;
    return isDeepPng ? null : await createImageBitmap(file);
  } catch {
    return null;
  }
}

/** Return the picture that the service made of a file. */
export async function pictureOf(jpeg) {
  const bytes = Uint8Array.from(atob(jpeg), (letter) => letter.charCodeAt(0));
  return createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
}
