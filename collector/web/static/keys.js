// Keyboard: / finds, j k or the arrows walk the rows, Enter opens, g and a letter goes to a page, ? shows the list.
// Also the two buttons that need a script: light or dark, and printing.
(() => {
  const typing = (target) => target.closest?.("input, textarea, select, [contenteditable]");
  const links = () => [...document.querySelectorAll("#main [data-walk], #main a.row, #main a.doubt")];
  let going = false;

  const walk = (step) => {
    const all = links();
    if (!all.length) return false;
    const here = all.indexOf(document.activeElement.closest?.("a"));
    all[here < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, here + step))].focus();
    return true;
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (typing(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (going) {
      going = false;
      const to = document.querySelector(`.rail [data-go="${CSS.escape(event.key)}"]`);
      if (to) { event.preventDefault(); to.click(); }
      return;
    }
    const list = document.getElementById("shortcuts");
    if (event.key === "/") document.querySelector(".find input")?.focus();
    else if (event.key === "j" || event.key === "ArrowDown") { if (!walk(1)) return; }
    else if (event.key === "k" || event.key === "ArrowUp") { if (!walk(-1)) return; }
    else if (event.key === "g") going = true;
    else if (event.key === "?") list?.showModal();
    else return;
    event.preventDefault();
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-do]");
    if (!button) return;
    if (button.dataset.do === "print") print();
    if (button.dataset.do === "theme") {
      const dark = document.documentElement.dataset.theme !== "dark";
      localStorage.setItem("tillwatch-theme", dark ? "dark" : "light");
      document.documentElement.dataset.theme = dark ? "dark" : "light";
      document.dispatchEvent(new Event("tillwatch:theme"));
    }
    if (button.dataset.do === "shortcuts") document.getElementById("shortcuts")?.showModal();
    if (button.dataset.do === "copy") {
      navigator.clipboard?.writeText(document.querySelector(button.dataset.of).textContent.trim());
      button.textContent = button.dataset.done;
    }
  });
  document.addEventListener("change", (event) => {
    if (event.target.closest("form[data-at-once]")) event.target.form.requestSubmit();
  });
})();
