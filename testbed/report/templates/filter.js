"use strict";
// The form above a page's items, which are told by their states, plugins and words.
//   selector  the items', each with data-state and data-plugin
//   noun      what they are called, of many
//   textOf    item → what is searched for words
function filterItems(selector, noun, textOf) {
  const filters = document.getElementById("filters");
  const search = document.getElementById("search");
  const items = [...document.querySelectorAll(selector)];
  const haystacks = new Map(items.map((item) => [item, textOf(item).toLowerCase()]));

  function filter() {
    const chosen = (name) => new Set([...filters.querySelectorAll(`[name=${name}]:checked`)].map((box) => box.value));
    const states = chosen("state");
    const plugins = chosen("plugin");
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const item of items) {
      const fits = states.has(item.dataset.state) && plugins.has(item.dataset.plugin) &&
        words.every((word) => haystacks.get(item).includes(word));
      item.hidden = !fits;
      shown += fits;
    }
    for (const group of document.querySelectorAll(".group")) {
      group.hidden = !group.querySelector(`${selector}:not([hidden])`);
    }
    document.getElementById("shown").textContent = `${shown} of ${items.length} ${noun}`;
  }

  filters.hidden = false;
  filters.addEventListener("input", filter);
  filters.addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.ctrlKey && !event.metaKey && document.activeElement !== search) {
      event.preventDefault();
      search.focus();
    }
  });
  filter();
}
