// Masks as arrays of class ids: from run lengths or probabilities, counted, and as coloured pixels.

export const STEPS = 200; // the service tells probabilities apart at each k / 200
const VIEW_PX = 4_000_000; // what is larger is shown reduced, by the same rule as in the service

/** Return by what whole number a picture is reduced for the page, and its size then. */
export function viewOf(width, height) {
  const factor = Math.max(1, Math.ceil(Math.sqrt((width * height) / VIEW_PX)));
  return { factor, width: Math.ceil(width / factor), height: Math.ceil(height / factor) };
}

/** Write `value` at the pixels of a run-length mask into `ids`, an array of the view's size. */
export function drawRuns({ size: [height], counts }, value, view, ids) {
  const { factor, width, height: rows } = view;
  const half = factor >> 1;
  let place = 0; // down the columns
  counts.forEach((count, index) => {
    if (index % 2) {
      for (let at = place; at < place + count; at++) {
        const x = Math.floor(at / height), y = at - x * height;
        if (factor === 1) {
          ids[y * width + x] = value;
        } else if (x % factor === half && y % factor === half) {
          const column = (x - half) / factor, row = (y - half) / factor;
          if (column < width && row < rows) ids[row * width + column] = value;
        }
      }
    }
    place += count;
  });
}

/** Return the pixels of a mask from base64 run lengths of its classes. */
export function idsOfAnswer(answer, view) {
  const ids = new Uint8Array(view.width * view.height);
  for (const { class_id, rle } of answer.masks) drawRuns(rle, class_id, view, ids);
  return ids;
}

/** Return the grey levels of a base64 PNG. */
export async function levelsOf(png, view) {
  const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }), { colorSpaceConversion: "none" });
  const canvas = new OffscreenCanvas(view.width, view.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const pixels = context.getImageData(0, 0, view.width, view.height).data;
  return Uint8Array.from({ length: view.width * view.height }, (_, at) => pixels[4 * at]);
}

/** Return 1 where the probability is at least `step` / 200, and how many such pixels lie in `area`, if given. */
export function idsAtThreshold(levels, step, area = null) {
  const ids = new Uint8Array(levels.length);
  let pixels = 0, inside = 0;
  for (let at = 0; at < levels.length; at++) {
    if (levels[at] >= step) {
      ids[at] = 1;
      pixels++;
      if (area !== null) inside += area[at];
    }
  }
  return { ids, pixels, inside };
}

/** Return a canvas with the classes that are `shown` in their colours, and nothing elsewhere. */
export function paint(ids, classes, shown, view) {
  const canvas = new OffscreenCanvas(view.width, view.height);
  const image = new ImageData(view.width, view.height);
  const inks = new Uint32Array(256);
  const bytes = new Uint8Array(inks.buffer);
  for (const { id, colour } of classes) {
    if (id > 0 && shown.has(id)) {
      const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
      bytes.set([red, green, blue, 255], 4 * id);
    }
  }
  const pixels = new Uint32Array(image.data.buffer);
  for (let at = 0; at < ids.length; at++) pixels[at] = inks[ids[at]];
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}
