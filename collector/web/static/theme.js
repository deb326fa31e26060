// Before the first paint: light or dark as the reader chose here, or as the machine says.
(() => {
  const chosen = localStorage.getItem("tillwatch-theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    const theme = localStorage.getItem("tillwatch-theme") || (dark.matches ? "dark" : "light");
    document.documentElement.dataset.theme = theme;
  };
  if (chosen && chosen !== "dark" && chosen !== "light") localStorage.removeItem("tillwatch-theme");
  dark.addEventListener("change", apply);
  apply();
})();
