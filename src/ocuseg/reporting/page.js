"use strict";

// A slider between the two pictures of each image; an arrow key moves it by one percent, a page key by ten.
for (const slider of document.querySelectorAll(".slider")) {
  const stack = slider.closest(".stack");
  const move = () => {
    stack.style.setProperty("--at", slider.value + "%");
    slider.setAttribute("aria-valuetext", "line at " + slider.value + " percent from the left");
  };
  slider.addEventListener("input", move);
  move();
}

// What lies left and right of the line, for all images at once.
const gallery = document.querySelector(".gallery");
for (const choice of document.querySelectorAll("select[data-side]")) {
  const show = () => gallery.setAttribute("data-" + choice.dataset.side, choice.value);
  choice.addEventListener("change", show);
  show();
}

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const controls = document.getElementById(table.dataset.controls);
  const status = controls.querySelector("output");
  const text = (row, column) => row.cells[column].textContent.trim();
  const byText = new Intl.Collator(undefined, { numeric: true });

  // A sort keeps the order of equals, and leaves what is undefined at the end in both directions.
  const sort = (heading) => {
    const column = heading.cellIndex;
    const falls = heading.getAttribute("aria-sort") === "ascending";
    const words = heading.classList.contains("text");
    const compare = (first, second) => {
      const [a, b] = [text(first, column), text(second, column)];
      if (words) return falls ? byText.compare(b, a) : byText.compare(a, b);
      const [x, y] = [parseFloat(a), parseFloat(b)];
      if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y);
      return falls ? y - x : x - y;
    };
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", falls ? "descending" : "ascending");
    body.append(...[...body.rows].sort(compare));
  };
  for (const button of table.tHead.querySelectorAll("button")) {
    button.addEventListener("click", () => sort(button.closest("th")));
  }

  // The filter hides rows, and of the pictures those without a row.
  const filter = () => {
    const wanted = controls.elements.name.value.trim().toLowerCase();
    const group = controls.elements.class ? controls.elements.class.value : "";
    const limit = parseFloat(controls.elements.below.value);
    const column = Number(controls.elements.below.dataset.column);
    const images = new Set();
    let count = 0;
    for (const row of rows) {
      const name = row.dataset.name.toLowerCase();
      const fits = name.includes(wanted) && (!group || row.dataset.class === group);
      const value = parseFloat(text(row, column));
      row.hidden = !(fits && (isNaN(limit) || value < limit));
      if (!row.hidden) {
        count += 1;
        images.add(row.dataset.name);
      }
    }
    const all = rows.length;
    status.textContent = count === all ? all + " rows" : count + " of " + all + " rows";
    for (const figure of document.querySelectorAll(".eye")) {
      figure.hidden = count < all && !images.has(figure.dataset.name);
    }
  };
  controls.addEventListener("input", filter);
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.addEventListener("reset", () => setTimeout(filter));
  filter();
}

// What is folded away is printed too.
const folded = () => document.querySelectorAll("details:not([open])");
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...folded()];
  for (const one of opened) one.open = true;
});
addEventListener("afterprint", () => {
  for (const one of opened) one.open = false;
});
