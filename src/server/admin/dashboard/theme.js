// The theme: that of the system, unless the reader chose another, which is kept in localStorage.
//
// Loaded before the page is drawn, so that the page never flashes up in the wrong theme; therefore
// this is a script of its own and not a module.

(() => {
  "use strict";

  const KEY = "blipmq-theme";
  const root = document.documentElement;
  const systemDark = window.matchMedia("(prefers-color-scheme: dark)");

  /**
   * The choice of the reader: "light", "dark", or null; always null in a browser without storage.
   */
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
      // A browser without storage: the choice is then kept until the page is closed.
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
