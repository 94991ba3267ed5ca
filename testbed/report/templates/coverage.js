"use strict";
// Data: scenarios [name]; kinds [flows: [[scenario, packets]]], in the page's order.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const kinds = [...document.querySelectorAll(".kind")];
  const filters = document.getElementById("filters");
  const search = document.getElementById("search");
  const haystacks = new Map(kinds.map((kind) => {
    const table = kind.closest(".table").querySelector("h3").textContent;
    return [kind, `${table} ${kind.textContent}`.toLowerCase()];
  }));

  function filter() {
    const chosen = (name) => new Set([...filters.querySelectorAll(`[name=${name}]:checked`)].map((box) => box.value));
    const states = chosen("state");
    const plugins = chosen("plugin");
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const kind of kinds) {
      const fits = states.has(kind.dataset.state) && plugins.has(kind.dataset.plugin) &&
        words.every((word) => haystacks.get(kind).includes(word));
      kind.hidden = !fits;
      shown += fits;
    }
    for (const group of document.querySelectorAll(".group")) {
      group.hidden = !group.querySelector(".kind:not([hidden])");
    }
    document.getElementById("shown").textContent = `${shown} of ${kinds.length} kinds`;
  }

  function name(kind) {
    if (kind.dataset.named) return;
    kind.dataset.named = "yes";
    const flows = data.kinds[Number(kind.dataset.kind)];
    kind.querySelectorAll("tbody > tr").forEach((row, index) => {
      if (!flows[index].length) return;
      const cell = row.querySelector("[data-scenarios]");
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = cell.textContent;
      button.setAttribute("aria-expanded", "false");
      button.setAttribute("aria-label", `${cell.textContent} scenarios: show their names`);
      button.addEventListener("click", () => {
        const next = row.nextElementSibling;
        const open = next?.matches(".names");
        button.setAttribute("aria-expanded", String(!open));
        if (open) {
          next.remove();
          return;
        }
        const list = document.createElement("ul");
        for (const [scenario, packets] of flows[index]) {
          const item = document.createElement("li");
          item.textContent = `${data.scenarios[scenario]} (${packets})`;
          list.append(item);
        }
        const names = document.createElement("tr");
        names.className = "names";
        const wide = document.createElement("td");
        wide.colSpan = 5;
        wide.style.whiteSpace = "normal";
        wide.append(list);
        names.append(wide);
        row.after(names);
      });
      cell.replaceChildren(button);
    });
  }

  filters.hidden = false;
  filters.addEventListener("input", filter);
  filters.addEventListener("submit", (event) => event.preventDefault());
  for (const kind of kinds) kind.addEventListener("toggle", () => name(kind));
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.ctrlKey && !event.metaKey && document.activeElement !== search) {
      event.preventDefault();
      search.focus();
    }
  });
  filter();
})();
