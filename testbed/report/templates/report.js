"use strict";
// Data: texts and flows are told by their numbers.
//   texts     [text]
//   flows     [[table, its name, selector, actions, drops]]
//   diagrams  key → {size: [width, height], taps: tap → [x, y, step, ...box]}
//   runs      [{diagram, packets, hits: [node, flow, packets, node, flow, …], leftOut, lost}]
//   packets   [sender, sightings, deaths: [[x, y, x and y of its text, text]], first sighting on the way back]
//   sightings [microseconds, tap, was it sent, text or null, [changes], path]
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const data = JSON.parse(document.getElementById("data").textContent);
  const text = (number) => data.texts[number];
  const runs = [...document.querySelectorAll(".run")];

  function make(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  function draw(name, attributes = {}, ...children) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  // A flow breaks after its commas, where it has to.
  function breakable(words) {
    const parts = words.split(/(?<=,)/);
    return parts.flatMap((part, index) => (index ? [document.createElement("wbr"), part] : [part]));
  }

  // One scenario -------------------------------------------------------------

  function drawPath(run, packet) {
    const [, sightings, deaths, turn] = packet;
    const diagram = data.diagrams[run.diagram];
    const group = draw("g");
    const ends = draw("g");
    const hops = draw("g");
    const badges = draw("g");
    const used = {};
    const marked = new Set();
    sightings.forEach(([, tap, sent, , , path], index) => {
      const anchor = diagram.taps[tap];
      if (!anchor) return;
      const [x, y, step, ...box] = anchor;
      if (box.length && !marked.has(tap)) {
        marked.add(tap);
        const [left, top, width, height] = box;
        ends.append(draw("rect", { class: index ? "end" : "end from", x: left, y: top, width, height }));
      }
      const way = index < turn ? "" : "back";
      hops.append(draw("path", { class: `hop ${way}`, d: text(path), "data-hop": index, "marker-end": `url(#arrow${way})` }));
      used[tap] = (used[tap] ?? -1) + 1;
      if (used[tap] > 6) return;
      const badge = draw("g", { class: `badge ${way}${sent ? "" : " in"}`, "data-hop": index, transform: `translate(${x + step * used[tap] * 16} ${y})` });
      badge.append(draw("circle", { r: 7.5 }), draw("text", { y: 3.2 }, String(index + 1)));
      badges.append(badge);
    });
    group.append(ends, hops);
    for (const [x, y, right, bottom, words] of deaths) {
      const death = draw("g", { class: "death" });
      death.append(draw("path", { d: `M${x - 6} ${y - 6}l12 12m0 -12l-12 12` }), draw("text", { x: right, y: bottom }, text(words)));
      group.append(death);
    }
    group.append(badges);
    return group;
  }

  function listSightings(packet) {
    const list = make("ol", { class: "seen" });
    packet[1].forEach(([time, tap, sent, words, changes], index) => {
      const item = make("li", { "data-hop": index, tabindex: "0", class: index < packet[3] ? "" : "back" },
        make("span", { class: sent ? "n" : "n in" }, String(index + 1)),
        make("span", { class: "t" }, `${(time / 1000).toFixed(3)} ms`),
        make("span", { class: "p" }, make("b", {}, text(tap)), sent ? " sends" : " gets"));
      const told = words === null ? changes.map(text) : [text(words)];
      for (const line of told.length ? told : ["unchanged"]) item.append(make("span", { class: "c" }, line));
      list.append(item);
    });
    return list;
  }

  function listFlows(run) {
    const rows = [];
    for (let at = 0; at < run.hits.length; at += 3) {
      const [node, number, packets] = run.hits.slice(at, at + 3);
      const [table, name, selector, actions, drops] = data.flows[number];
      rows.push(make("tr", drops ? { class: "drops" } : {},
        make("td", {}, text(node)),
        make("td", {}, `${table} ${text(name)}`),
        make("td", { class: "number" }, String(packets)),
        make("td", { class: "mono" }, ...breakable(text(selector) || "any packet")),
        make("td", { class: "mono" }, ...breakable(text(actions)))));
    }
    const head = ["Node", "Table", "Packets", "Flow", "Actions"].map((name) =>
      make("th", { scope: "col", ...(name === "Packets" ? { class: "number" } : {}) }, name));
    return make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows));
  }

  function light(stage, index) {
    for (const element of stage.querySelectorAll("[data-hop]")) {
      element.classList.toggle("lit", element.dataset.hop === index);
    }
  }

  function open(details) {
    const number = Number(details.dataset.run);
    const run = data.runs[number];
    const stage = details.querySelector(".stage");
    if (!run || stage.classList.contains("open")) return;
    stage.classList.add("open");
    const [width, height] = data.diagrams[run.diagram].size;
    const picture = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", style: `min-width:${Math.round(width * 0.8)}px;max-width:${width}px` });
    const title = draw("title");
    const layer = draw("g");
    picture.append(title, draw("use", { href: `#cluster-${run.diagram}` }), layer);
    const side = stage.querySelector(".side");
    const sightings = make("section");
    const main = make("div", { class: "main" }, make("div", { class: "picture" }, picture));
    stage.prepend(main);

    function choose(index) {
      const packet = run.packets[index];
      layer.replaceChildren(drawPath(run, packet));
      title.textContent = `The way of packet ${index + 1}, sent by ${text(packet[0])}`;
      const several = packet[1].length === 1 ? "Seen once" : `Seen ${packet[1].length} times`;
      sightings.replaceChildren(make("h3", {}, several), listSightings(packet));
    }

    side.querySelectorAll(".packets > li").forEach((item, index) => {
      const label = make("label", {}, ...item.childNodes);
      const radio = make("input", { type: "radio", name: `packet-${number}`, value: index });
      radio.checked = index === 0;
      radio.addEventListener("change", () => choose(index));
      label.prepend(radio);
      item.replaceChildren(label);
    });
    side.append(sightings);
    const notes = [];
    if (run.leftOut) notes.push(`${run.leftOut} more frames of other traffic are not shown.`);
    if (run.lost) notes.push(`${run.lost} frames were lost to the recording.`);
    if (notes.length) side.append(make("p", { class: "muted" }, notes.join(" ")));
    if (run.packets.length) choose(0);
    if (run.hits.length) {
      main.append(make("section", { class: "flows", tabindex: "0" }, make("h3", {}, "Flows hit"), listFlows(run)));
    }
    for (const [on, off] of [["pointerover", "pointerout"], ["focusin", "focusout"]]) {
      stage.addEventListener(on, (event) => light(stage, event.target.closest?.("[data-hop]")?.dataset.hop));
      stage.addEventListener(off, () => light(stage, undefined));
    }
  }

  for (const run of runs) run.addEventListener("toggle", () => { if (run.open) open(run); });

  function follow() {
    const target = document.getElementById(location.hash.slice(1));
    if (target?.matches(".run")) {
      target.open = true;
      open(target);
      target.scrollIntoView();
    }
  }

  addEventListener("hashchange", follow);
  filterItems(".run", "scenarios", (run) => run.textContent);
  follow();
})();
