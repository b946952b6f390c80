// Runs in the head, before the first paint, so that a page never flashes in the wrong theme.
(() => {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => localStorage.getItem("tokensight.theme");
  const apply = () => {
    const theme = chosen() || (system.matches ? "dark" : "light");
    document.documentElement.dataset.bsTheme = theme;
    document.dispatchEvent(new CustomEvent("themechange"));
  };
  system.addEventListener("change", apply);
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-toggle-theme]")) return;
    const dark = document.documentElement.dataset.bsTheme === "dark";
    localStorage.setItem("tokensight.theme", dark ? "light" : "dark");
    apply();
  });
  apply();
})();
