// Choosing the picture: by file dialog, by dropping, or from the samples. The form and the boxes are the server's.
const drop = document.getElementById("drop");
if (drop) {
  const input = document.getElementById("file");
  const preview = document.getElementById("preview");
  const words = document.getElementById("drop-words");
  const run = document.getElementById("run");
  let address = null;

  const show = () => {
    const file = input.files[0];
    if (address) URL.revokeObjectURL(address);
    address = file ? URL.createObjectURL(file) : null;
    preview.hidden = !file;
    words.hidden = Boolean(file);
    if (file) preview.src = address;
    run.disabled = !file;
    name();
  };
  const name = () => {
    const file = input.files[0];
    if (!file) return;
    for (const code of document.querySelectorAll("[data-file]")) code.textContent = file.name;
  };
  const take = (file) => {
    const list = new DataTransfer();
    list.items.add(file);
    input.files = list.files;
    show();
  };
  const press = (chosen) => {
    for (const sample of document.querySelectorAll("[data-sample]")) {
      sample.setAttribute("aria-pressed", String(sample === chosen));
    }
  };

  input.addEventListener("change", () => {
    press(null);
    show();
  });
  for (const type of ["dragenter", "dragover"]) {
    drop.addEventListener(type, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    press(null);
    if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
  for (const sample of document.querySelectorAll("[data-sample]")) {
    sample.addEventListener("click", async () => {
      press(sample);
      const response = await fetch(sample.dataset.sample);
      const blob = await response.blob();
      take(new File([blob], sample.dataset.name, { type: blob.type }));
    });
  }
  document.addEventListener("htmx:afterSwap", () => {
    name();
    for (const picture of document.querySelectorAll("img[data-picture]:not([src])")) {
      picture.src = URL.createObjectURL(input.files[0]);
    }
  });
}
