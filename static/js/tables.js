// On a phone a list's rows are stacked (css/tables.css): each cell then needs the name of its column beside it.
const FEW = 4;

function prepare(table) {
  const heads = [...(table.tHead?.rows[0]?.cells ?? [])];
  if (heads.length < FEW && !("stacks" in table.dataset)) return;
  table.classList.add("stacks");
  // Stacked rows lose their roles in some browsers, so they are said.
  table.setAttribute("role", "table");
  for (const part of [table.tHead, ...table.tBodies]) part.setAttribute("role", "rowgroup");
  for (const row of table.rows) row.setAttribute("role", "row");
  for (const head of heads) head.setAttribute("role", "columnheader");
  for (const body of table.tBodies) {
    for (const row of body.rows) {
      let column = 0;
      for (const cell of row.cells) {
        const head = heads[column];
        column += cell.colSpan;
        cell.setAttribute("role", cell.tagName === "TH" ? "rowheader" : "cell");
        if (!head) continue;
        // A column without a visible name holds buttons.
        if (head.querySelector(".visually-hidden")) cell.classList.add("actions");
        else if (head.textContent.trim()) cell.dataset.label = head.textContent.trim();
        cell.classList.toggle("blank", !cell.textContent.trim() && !cell.querySelector("input, progress, svg, img"));
      }
    }
  }
}

const all = (root) => root.querySelectorAll("table.data").forEach(prepare);
all(document);
document.addEventListener("htmx:load", (event) => {
  const table = event.target.closest("table.data");
  if (table) prepare(table);
  else all(event.target);
});
