// Small behaviours of the shared components. Everything works by data attributes; words come from the server.
const on = (type, selector, handler) =>
  document.addEventListener(type, (event) => {
    const element = event.target.closest?.(selector);
    if (element) handler(element, event);
  });

// Menus are <details>: a click elsewhere or Escape closes them.
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

// The sidebar on a phone.
const side = document.getElementById("side");
const showSide = (open) => {
  side.classList.toggle("open", open);
  document.querySelector(".side-shade").hidden = !open;
  document.querySelector("[data-open-side]").setAttribute("aria-expanded", String(open));
  if (open) side.querySelector("a, summary").focus();
};
on("click", "[data-open-side]", () => showSide(true));
on("click", "[data-close-side]", () => showSide(false));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && side?.classList.contains("open")) {
    showSide(false);
    document.querySelector("[data-open-side]").focus();
  }
});

// "/" goes to the first field of the page's filter.
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, select, textarea, dialog, [contenteditable]");
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || typing) return;
  const filter = document.querySelector(".filters :is(input:not([type=hidden]), select)");
  if (!filter) return;
  event.preventDefault();
  filter.focus();
  filter.select?.();
});

// Copy buttons: data-copy names the element whose text is copied.
on("click", "[data-copy]", async (button) => {
  const source = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.value ?? source.textContent.trim());
  } catch {
    // Without clipboard access (plain http on another host) the text is selected, ready for Ctrl-C.
    getSelection().selectAllChildren(source);
    return;
  }
  button.classList.add("copied");
  setTimeout(() => button.classList.remove("copied"), 1600);
});

// Dialogs, and the ones that want a name typed before they act.
on("click", "[data-open-dialog]", (button) => document.getElementById(button.dataset.openDialog).showModal());
on("click", "[data-close-dialog]", (button) => button.closest("dialog").close());
on("input", "[data-confirm-name]", (input) => {
  const matches = input.value.trim() === input.dataset.confirmName;
  input.form.querySelector("[data-confirm-button]").disabled = !matches;
});
on("click", "dialog", (dialog, event) => {
  if (event.target === dialog) dialog.close();
});

// One box ticks all of a name in its form.
on("change", "[data-check-all]", (box) => {
  for (const other of box.form.querySelectorAll(`[name="${box.dataset.checkAll}"]`)) other.checked = box.checked;
});

on("click", "[data-dismiss]", (button) => button.closest(".message").remove());
on("change", "form[data-submit-on-change]", (form) => form.requestSubmit());
// A form that was sent is not sent twice by an impatient second click.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.matches("[data-once]")) {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
  }
});

// The pill asks the server every few seconds; it flashes when the number moved.
document.addEventListener("htmx:beforeSwap", (event) => {
  const pill = event.target;
  if (!pill.matches?.("[data-balance]")) return;
  const before = pill.dataset.balance;
  event.target.addEventListener(
    "htmx:afterSwap",
    () => {
      const now = document.querySelector("[data-balance]");
      if (now && now.dataset.balance !== before) now.classList.add("changed");
    },
    { once: true },
  );
});

// A fragment that was asked for in vain says so, once at a time. The pill asks again by itself.
const toasts = document.getElementById("toasts");
const toast = (words) => {
  const note = document.createElement("div");
  note.className = "message bad toast";
  note.textContent = words;
  toasts?.replaceChildren(note);
  setTimeout(() => note.remove(), 8000);
};
document.addEventListener("htmx:sendError", (event) => {
  if (!event.target.matches("[data-balance]")) toast(toasts.dataset.unreached);
});
document.addEventListener("htmx:responseError", (event) => {
  if (!event.target.matches("[data-balance]")) toast(toasts.dataset.unworked);
});
// Who was signed out meanwhile is sent to sign in; the sign-in page is no fragment.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { responseURL } = event.detail.xhr;
  if (responseURL && new URL(responseURL).pathname.startsWith("/accounts/")) {
    event.detail.shouldSwap = false;
    location.reload();
  }
});

// Times are sent in UTC and shown in the reader's zone; the server's words stay for those without JavaScript.
const day = { month: "short", day: "numeric" };
const minute = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const styles = { "": { ...day, ...minute }, seconds: { ...day, ...minute, second: "2-digit" }, day };
const localTimes = (root) => {
  const { lang } = document.documentElement;
  const thisYear = new Date().getFullYear();
  for (const element of root.querySelectorAll("time[data-local]")) {
    const moment = new Date(element.dateTime);
    // The year is told only where it is not this one; the whole moment, with its zone, is under the pointer.
    const year = moment.getFullYear() === thisYear ? {} : { year: "numeric" };
    const words = new Intl.DateTimeFormat(lang, { ...styles[element.dataset.local], ...year });
    element.textContent = words.format(moment);
    element.title = moment.toLocaleString(lang, { dateStyle: "full", timeStyle: "long" });
    element.removeAttribute("data-local");
  }
};
localTimes(document);
document.addEventListener("htmx:load", (event) => localTimes(event.target));

// Command palette.
const palette = document.getElementById("palette");
if (palette) {
  const input = palette.querySelector("input");
  const options = [...palette.querySelectorAll("[role=option]")];
  const none = palette.querySelector("[data-none]");
  let current = 0;
  const shown = () => options.filter((option) => !option.hidden);
  const select = (index) => {
    const visible = shown();
    current = visible.length ? (index + visible.length) % visible.length : 0;
    options.forEach((option) => option.setAttribute("aria-selected", "false"));
    const chosen = visible[current];
    none.hidden = visible.length > 0;
    if (!chosen) return input.removeAttribute("aria-activedescendant");
    chosen.setAttribute("aria-selected", "true");
    chosen.scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", chosen.id);
  };
  const filter = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const option of options) {
      const text = (option.textContent + " " + (option.dataset.words || "")).toLowerCase();
      option.hidden = !words.every((word) => text.includes(word));
    }
    select(0);
  };
  const open = () => {
    input.value = "";
    filter();
    palette.showModal();
    input.focus();
  };
  const go = (option) => {
    if (!option) return;
    if (option.dataset.do === "theme") {
      palette.close();
      document.querySelector("[data-toggle-theme]").click();
    } else location.assign(option.dataset.href);
  };
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      palette.open ? palette.close() : open();
    }
  });
  on("click", "[data-open-palette]", open);
  input.addEventListener("input", filter);
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") select(current + 1);
    else if (event.key === "ArrowUp") select(current - 1);
    else if (event.key === "Enter") go(shown()[current]);
    else return;
    event.preventDefault();
  });
  palette.addEventListener("click", (event) => go(event.target.closest("[role=option]")));
}
