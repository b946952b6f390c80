// Boxes and list rows light each other up; the slider hides what the model is less sure of.
function setUp(viewer) {
  const svg = viewer.querySelector("svg");
  const rows = [...viewer.querySelectorAll("tr[data-box]")];
  const light = (number) => {
    svg.classList.toggle("dimmed", number !== null);
    for (const element of viewer.querySelectorAll("[data-box]")) {
      element.classList.toggle("lit", element.dataset.box === number);
    }
  };
  const lit = (event) => event.target.closest("[data-box]")?.dataset.box ?? null;
  viewer.addEventListener("pointerover", (event) => light(lit(event)));
  viewer.addEventListener("pointerleave", () => light(null));
  viewer.addEventListener("focusin", (event) => light(lit(event)));
  viewer.addEventListener("focusout", () => light(null));
  // Labels are as large as the page's text, however small the picture is drawn.
  const fit = () => {
    const size = Math.max(11, Math.min(14, svg.clientWidth / 44)) * (svg.viewBox.baseVal.width / (svg.clientWidth || 1));
    for (const label of svg.querySelectorAll("text")) label.setAttribute("font-size", size);
  };
  new ResizeObserver(fit).observe(svg);
  const slider = viewer.querySelector("[data-confidence]");
  if (!slider) return;
  const filter = () => {
    let shown = 0;
    for (const row of rows) {
      row.hidden = Number(row.dataset.certainty) < Number(slider.value);
      shown += row.hidden ? 0 : 1;
      const box = svg.querySelector(`[data-box="${row.dataset.box}"]`);
      box.style.display = row.hidden ? "none" : "";
    }
    viewer.querySelector("[data-confidence-value]").textContent = `${slider.value}%`;
    viewer.querySelector("[data-shown-count]").textContent = shown;
    const conf = (slider.value / 100).toFixed(2);
    for (const code of document.querySelectorAll("[data-conf]")) code.textContent = conf;
  };
  slider.addEventListener("input", filter);
  filter();
}

for (const viewer of document.querySelectorAll("[data-viewer]")) setUp(viewer);
document.addEventListener("htmx:load", (event) => {
  for (const viewer of event.target.querySelectorAll("[data-viewer]")) setUp(viewer);
});
