// A slider over decades beside a field of numbers: each step is as large a part of the whole as the one before.

for (const slider of document.querySelectorAll("[data-decades]")) {
  const field = document.getElementById(slider.dataset.decades);

  const place = () => {
    const value = Math.log10(Math.max(1, Number(field.value) || 1));
    slider.value = value;
    const share = (slider.value - slider.min) / (slider.max - slider.min);
    slider.style.setProperty("--filled", `${100 * share}%`);
    slider.setAttribute("aria-valuetext", field.value);
  };

  slider.addEventListener("input", () => {
    const number = 10 ** Number(slider.value);
    const digit = 10 ** Math.max(0, Math.floor(Math.log10(number)) - 1);
    field.value = Math.round(number / digit) * digit;
    place();
    field.dispatchEvent(new Event("input", { bubbles: true }));
  });
  field.addEventListener("input", place);
  slider.hidden = false;
  place();
}
