// Sorting and filtering of the report's tables. Without it they are plain tables in the order of the files.
"use strict";

const status = document.getElementById("status");
const plain = (element) => element.textContent.replace(/\s+/g, " ").trim();

/** What a cell is sorted by: its number, its text, or null when unknown. */
function valueOf(cell) {
  const text = cell.dataset.value ?? plain(cell);
  if (text === "" || text === "–") return null;
  return cell.classList.contains("n") ? Number(text) : text;
}

function compare(a, b) {
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
}

function sort(table, heading, name) {
  const direction = heading.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
  const sign = direction === "ascending" ? 1 : -1;
  const body = table.tBodies[0];
  const keyed = Array.from(body.rows, (row) => [valueOf(row.cells[heading.cellIndex]), row]);
  keyed.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : sign * compare(a, b)));
  body.append(...keyed.map(([, row]) => row));
  for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", direction);
  status.textContent = `Sorted by ${name}, ${direction}`;
}

for (const table of document.querySelectorAll("table.sortable")) {
  for (const heading of table.tHead.rows[table.tHead.rows.length - 1].cells) {
    if (heading.tagName !== "TH") continue;
    const name = plain(heading);
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => sort(table, heading, name));
  }
}

for (const form of document.querySelectorAll("form.filter")) {
  const rows = Array.from(document.getElementById(form.dataset.table).tBodies[0].rows, (row) => [plain(row).toLowerCase(), row]);
  const [words, device, count] = ["words", "device", "count"].map((name) => form.elements.namedItem(name));
  const filter = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const [text, row] of rows) {
      const fits = wanted.every((word) => text.includes(word)) && (!device?.value || row.dataset.device === device.value);
      row.hidden = !fits;
      shown += fits;
    }
    count.textContent = `${shown} of ${rows.length} rows`;
  };
  for (const event of ["input", "change"]) form.addEventListener(event, filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  filter();
  form.hidden = false;
}
