// Parts of the page and of its tables, and files that are saved.

export const find = (id) => document.getElementById(id);

/** Return a row of a table. */
export function row(...cells) {
  const line = document.createElement("tr");
  line.append(...cells);
  return line;
}

/** Return the head of a row. */
export function heading(text) {
  const cell = document.createElement("th");
  cell.scope = "row";
  cell.textContent = text;
  return cell;
}

/** Return a cell with a number; `name` is for who looks for it. */
export function number(text, name = null) {
  const cell = document.createElement("td");
  cell.className = "number";
  cell.textContent = text;
  if (name !== null) cell.dataset.name = name;
  return cell;
}

/** Return a lesser line below what a cell holds. */
export function small(text, name) {
  const line = document.createElement("small");
  line.textContent = text;
  line.dataset.name = name;
  return line;
}

/** Return an input for the colour of a class; it calls `changed` with another one. */
export function colourInput(name, colour, changed) {
  const input = document.createElement("input");
  Object.assign(input, { type: "color", value: colour, title: `Colour of ${name}` });
  input.setAttribute("aria-label", `Colour of ${name}`);
  input.addEventListener("input", () => changed(input.value));
  return input;
}

/** Let the browser save a file. */
export function save(name, content, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
