"use strict";
// Data: scenarios [name]; kinds [flows: [[scenario, packets]]], in the page's order.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const kinds = [...document.querySelectorAll(".kind")];

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

  for (const kind of kinds) kind.addEventListener("toggle", () => name(kind));
  filterItems(".kind", "kinds", (kind) => {
    const table = kind.closest(".table").querySelector("h3").textContent;
    return `${table} ${kind.textContent}`;
  });
})();
