// The theme: the system's, unless the reader chose another, which is kept in localStorage.
//
// Loaded before the page is drawn, so that a chosen theme never flashes up as the other one; that
// is why it is a script of its own and no module.

(() => {
  "use strict";

  const KEY = "blipmq-theme";
  const root = document.documentElement;
  const systemDark = window.matchMedia("(prefers-color-scheme: dark)");

  /** What was chosen: "light", "dark", or null; null too where a browser keeps nothing. */
  function chosen() {
    try {
      const theme = localStorage.getItem(KEY);
      return theme === "light" || theme === "dark" ? theme : null;
    } catch {
      return null;
    }
  }

  function keep(theme) {
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // Not kept: the choice then holds until the page is closed.
    }
  }

  let choice = chosen();

  function shown() {
    return choice ?? (systemDark.matches ? "dark" : "light");
  }

  function apply() {
    root.dataset.theme = shown();
    const button = document.getElementById("theme");
    if (button) {
      const other = shown() === "dark" ? "light" : "dark";
      button.setAttribute("aria-label", `Switch to the ${other} theme`);
      button.title = `Switch to the ${other} theme`;
    }
  }

  apply();
  systemDark.addEventListener("change", apply);
  document.addEventListener("DOMContentLoaded", () => {
    apply();
    document.getElementById("theme").addEventListener("click", () => {
      choice = shown() === "dark" ? "light" : "dark";
      keep(choice);
      apply();
    });
  });
})();
