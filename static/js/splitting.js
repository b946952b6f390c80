// Sliders that set amounts of Tokens, the form that splits, and saving what is shown once.
const MTOK = 1000;
const STEPS = 1000;

const parse = (text) => {
  const value = Number(text.trim());
  return text.trim() !== "" && Number.isFinite(value) && value >= 0 ? Math.round(value * MTOK) : null;
};
const plain = (mtok) => String(mtok / MTOK);
// A slider has a thousand places; what it says is a round number, and what is typed is exact.
const round = (mtok, most) => {
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(most, 1))) - 3);
  return Math.round(mtok / unit) * unit;
};

function prepare(slider) {
  const field = document.getElementById(slider.dataset.slider);
  const most = Number(slider.dataset.most);
  const place = (mtok) => Math.round((Math.min(mtok, most) / Math.max(most, 1)) * STEPS);
  const show = (mtok) => {
    slider.value = place(mtok);
    slider.style.setProperty("--filled", `${(slider.value / STEPS) * 100}%`);
    slider.setAttribute("aria-valuetext", plain(mtok));
    slider.closest(".share").classList.toggle("changed", mtok !== Number(slider.dataset.value));
  };
  slider.addEventListener("input", () => {
    const at = Number(slider.value);
    // Where it began, it means the exact amount that it began with; at its end, all.
    const start = Number(slider.dataset.value);
    const mtok = at === place(start) ? start : at === STEPS ? most : Math.min(round((at / STEPS) * most, most), most);
    field.value = plain(mtok);
    slider.style.setProperty("--filled", `${(at / STEPS) * 100}%`);
    slider.setAttribute("aria-valuetext", plain(mtok));
    slider.closest(".share").classList.toggle("changed", mtok !== start);
  });
  field.addEventListener("input", () => {
    const mtok = parse(field.value);
    if (mtok !== null) show(mtok);
  });
  slider.form.addEventListener("reset", () => setTimeout(() => show(Number(slider.dataset.value))));
  show(Number(slider.dataset.value));
}
for (const slider of document.querySelectorAll("[data-slider]")) prepare(slider);

// What a list decides is not asked for, and the other way round.
const split = document.querySelector("form[data-split]");
if (split) {
  const how = split.querySelector("[data-split-by]");
  const list = split.querySelector("[data-split-list]");
  const ask = () => {
    split.querySelector("[data-split-equal]").hidden = how.value !== "equal";
    if (how.value !== "equal") list.open = true;
  };
  how.addEventListener("change", ask);
  ask();
}

for (const button of document.querySelectorAll("[data-save-csv]")) {
  button.addEventListener("click", () => {
    const text = document.getElementById(button.dataset.saveCsv).value;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = button.dataset.file;
    link.click();
    URL.revokeObjectURL(link.href);
  });
}
