// Draws the map, the lists and the nodes' sections from the block of data, and filters them.
// Texts that come from nodes only ever become text nodes and values of attributes that run nothing.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { severities, states, traps, texts } = data; // severities: the worst first
  const CLEAN = severities.length;
  const ABSENT = CLEAN + 1; // the trap did not run there
  const UNSEEN = CLEAN + 2; // the node was not seen
  const LOOKS = [...severities, "clean", "absent", "unseen"];
  const LETTERS = ["H", "M", "L", "i", "", "", "?"];
  const ROWS_OF_NODES = 60; // with more nodes the map has a band for each trap instead of a row for each node
  const MANY = 300; // from here on the cells of a band are small
  const NAMES = 6;
  const byId = (id) => document.getElementById(id);

  const make = (tag, attributes, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };

  const inFours = (flat, read) => {
    const list = [];
    for (let at = 0; at < flat.length; at += 4) list.push(read(...flat.slice(at, at + 4)));
    return list;
  };

  const kinds = data.kinds.map(([id, trap, severity, why, remedy, mended], index) => (
    { index, id, trap, severity, why: texts[why], remedy: texts[remedy], mended }));
  const readFinding = (kind, where, observed, wanted) => (
    { kind: kinds[kind], where: texts[where], observed: texts[observed], wanted: texts[wanted] });
  const readChange = (target, before, after, word) => (
    { target: texts[target], before: texts[before], after: texts[after], word: texts[word] });
  const nodes = data.nodes.map(([name, state, error, seen, findings, mended, changes, pending], index) => ({
    index, name, state: states[state], error: texts[error], seen: new Set(data.sets[seen]), unseen: state < data.unseen,
    findings: inFours(findings, readFinding), mended: inFours(mended, readFinding),
    changes: inFours(changes, readChange), pending: inFours(pending, readChange),
  }));
  const cluster = inFours(data.cluster, readFinding);

  const plural = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;
  const badge = (severity) => make("span", { class: `badge ${LOOKS[severity]}` }, LOOKS[severity]);
  const bySeverity = (one, other) => one.severity - other.severity;
  const worst = (findings) => findings.reduce((least, { kind }) => Math.min(least, kind.severity), CLEAN);

  // --- the map --------------------------------------------------------------------------------------

  let isBefore = false;

  const lookAt = (node, trap) => {
    const all = isBefore ? [...node.findings, ...node.mended] : node.findings;
    const found = worst(all.filter(({ kind }) => kind.trap === trap));
    if (found < CLEAN) return found;
    if (node.unseen) return UNSEEN;
    return node.seen.has(trap) ? CLEAN : ABSENT;
  };

  const cells = nodes.map(() => []); // [node][trap]
  const paint = (node, trap) => {
    const look = lookAt(node, trap);
    const cell = cells[node.index][trap];
    cell.className = `cell ${LOOKS[look]}`;
    cell.textContent = LETTERS[look];
    cell.setAttribute("aria-label", `${node.name}, ${traps[trap]}: ${LOOKS[look]}`);
  };
  const paintAll = () => nodes.forEach((node) => traps.forEach((_name, trap) => paint(node, trap)));

  const drawMap = () => {
    for (const node of nodes) {
      cells[node.index] = traps.map((_name, trap) => make(
        "a", { href: `#node-${node.index}`, tabindex: "-1", "data-node": node.index, "data-trap": trap }));
    }
    const isTable = nodes.length <= ROWS_OF_NODES;
    byId("map").append(isTable ? mapAsTable() : mapAsBands());
    paintAll();
    if (nodes.length && traps.length) cells[0][0].tabIndex = 0;
    byId("map").addEventListener("keydown", (event) => moveInMap(event, isTable));
    byId("map").addEventListener("mouseover", ({ target }) => {
      if (target.dataset.node) target.title = target.getAttribute("aria-label");
    });
    byId("map").addEventListener("click", ({ target }) => {
      if (target.dataset.node && nodes[target.dataset.node].section.hidden) reset();
    });
  };

  const mapAsTable = () => {
    const heads = traps.map((trap) => make("th", { scope: "col" }, trap));
    const rows = nodes.map((node) => make("tr", {},
      make("th", { scope: "row" }, make("bdi", {}, node.name)),
      ...cells[node.index].map((cell) => make("td", {}, cell))));
    return make("table", { class: "matrix" },
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "node"), ...heads)), make("tbody", {}, ...rows));
  };

  const mapAsBands = () => make("div", {}, ...traps.map((name, trap) => {
    const found = nodes.filter(({ findings }) => findings.some(({ kind }) => kind.trap === trap)).length;
    return make("div", { class: "band" }, make("h3", {}, name, make("small", {}, ` found on ${plural(found, "node")}`)),
      make("div", { class: nodes.length > MANY ? "cells" : "cells large" }, ...nodes.map((node) => cells[node.index][trap])));
  }));

  const moveInMap = (event, isTable) => {
    const { node, trap } = event.target.dataset;
    const [alongNodes, alongTraps] = isTable ? ["Up Down", "Left Right"] : ["Left Right", "Up Down"];
    const key = event.key.replace("Arrow", "");
    const step = (keys) => (keys.split(" ").includes(key) ? (keys.startsWith(key) ? -1 : 1) : 0);
    const jump = { Home: -nodes.length, End: nodes.length }[key] || 0;
    const steps = [step(alongNodes) + jump, step(alongTraps)];
    if (node === undefined || (!steps[0] && !steps[1])) return;
    event.preventDefault();
    const clamp = (value, length) => Math.max(0, Math.min(length - 1, value));
    const next = cells[clamp(+node + steps[0], nodes.length)][clamp(+trap + steps[1], traps.length)];
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
    next.title = next.getAttribute("aria-label");
  };

  // --- the lists ------------------------------------------------------------------------------------

  const rowOf = (finding) => {
    const { kind } = finding;
    const mends = kind.mended ? make("span", { class: "mends" }, "harden mends it") : "";
    finding.row = make("tr", {}, make("td", {}, badge(kind.severity)), make("td", {}, make("bdi", {}, kind.id)),
      make("td", {}, finding.where), make("td", { class: "value" }, finding.observed),
      make("td", { class: "value" }, finding.wanted), make("td", {}, kind.why),
      make("td", {}, make("code", {}, kind.remedy), " ", mends));
    return finding.row;
  };
  const byKind = (findings) => [...findings].sort((one, other) => bySeverity(one.kind, other.kind));
  const HEADS = ["severity", "finding", "where", "observed", "wanted", "why", "remedy"];
  const tableOf = (heads, rows, kind) => make("table", { class: kind },
    make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))),
    make("tbody", {}, ...rows));

  const listOf = (title, items, line) => (items.length
    ? [make("h4", {}, title), make("ul", {}, ...items.map((item) => make("li", {}, line(item))))] : []);
  const changeLine = ({ target, before, after, word }) => (
    `${target}${before || after ? `: ${before || "absent"} → ${after || "absent"}` : ""}${word ? ` (${word})` : ""}`);

  const drawNode = (node) => {
    node.section = make("section", { id: `node-${node.index}`, class: "node", tabindex: "-1" },
      make("h3", {}, make("bdi", {}, node.name), " ", make("span", { class: "badge state" }, node.state),
        " ", make("a", { href: "#map", class: "back" }, "map")));
    if (node.error) node.section.append(make("p", { class: "error" }, node.error));
    if (node.findings.length) node.section.append(tableOf(HEADS, byKind(node.findings).map(rowOf), "findings"));
    else if (!node.unseen) node.section.append(make("p", {}, "Nothing was found."));
    node.section.append(
      ...listOf("Mended since the audit", node.mended, ({ kind, where, observed }) => `${kind.id}, ${where}: was ${observed}`),
      ...listOf("Changed", node.changes, changeLine), ...listOf("Waiting for consent", node.pending, changeLine));
    return node.section;
  };

  const drawKinds = () => {
    const rows = kinds.filter(({ used }) => used).sort(bySeverity).map((kind) => {
      kind.names = make("td", {});
      const only = make("button", { type: "button" }, kind.id);
      only.addEventListener("click", () => { inputs.kind.value = kind.index; filter(); });
      kind.row = make("tr", {}, make("td", {}, badge(kind.severity)), make("td", {}, only), kind.names,
        make("td", {}, kind.why), make("td", {}, make("code", {}, kind.remedy), " ",
          kind.mended ? make("span", { class: "mends" }, "harden mends it") : ""));
      return kind.row;
    });
    byId("kinds").append(tableOf(["severity", "finding", "nodes", "why", "remedy"], rows, "kinds"));
    if (cluster.length) byId("cluster").append(tableOf(HEADS, byKind(cluster).map(rowOf), "findings"));
    else byId("cluster").hidden = true;
  };

  // --- the filters ----------------------------------------------------------------------------------

  const inputs = { trap: byId("by-trap"), severity: byId("by-severity"), kind: byId("by-kind"), node: byId("by-node") };
  const fill = (select, options) => select.append(...options.map(([value, text]) => make("option", { value }, text)));

  const fillFilters = () => {
    for (const { kind } of [...nodes.flatMap(({ findings }) => findings), ...cluster]) kind.used = true;
    fill(inputs.trap, traps.map((name, index) => [index, name]));
    fill(inputs.severity, severities.map((name, index) => [index, index ? `${name} or worse` : name]));
    fill(inputs.kind, kinds.filter(({ used }) => used).map(({ index, id }) => [index, id]));
    for (const input of Object.values(inputs)) input.addEventListener("input", filter);
    byId("reset").addEventListener("click", reset);
    document.addEventListener("keydown", (event) => {
      const isTyping = ["INPUT", "SELECT"].includes(event.target.tagName);
      if (event.key === "Escape") reset();
      else if (event.key === "/" && !isTyping) { event.preventDefault(); inputs.node.focus(); }
    });
  };

  const reset = () => { for (const input of Object.values(inputs)) input.value = ""; filter(); };

  const filter = () => {
    const [trap, severity, only] = ["trap", "severity", "kind"].map((name) => inputs[name].value);
    const text = inputs.node.value.trim().toLowerCase();
    const isAny = trap === "" && severity === "" && only === "";
    const matches = ({ kind }) => (trap === "" || kind.trap === +trap) && (severity === "" || kind.severity <= +severity)
      && (only === "" || kind.index === +only);
    for (const kind of kinds) kind.found = [];
    let shownNodes = 0;
    let shownFindings = 0;
    for (const node of nodes) {
      const isNamed = node.name.toLowerCase().includes(text);
      let count = 0;
      for (const finding of node.findings) {
        const isShown = isNamed && matches(finding);
        finding.row.hidden = !isShown;
        if (!isShown) continue;
        count += 1;
        if (finding.kind.found.at(-1) !== node) finding.kind.found.push(node);
      }
      node.section.hidden = !(isNamed && (isAny || count));
      shownNodes += !node.section.hidden;
      shownFindings += count;
      cells[node.index].forEach((cell, index) => {
        cell.classList.toggle("dim", node.section.hidden || (trap !== "" && index !== +trap));
      });
    }
    for (const finding of cluster) finding.row.hidden = !matches(finding);
    for (const kind of kinds) if (kind.used) showKind(kind, !matches({ kind }));
    byId("shown").textContent = `${shownNodes} of ${plural(nodes.length, "node")}, ${plural(shownFindings, "finding")}`;
  };

  const showKind = (kind, isHidden) => {
    kind.row.hidden = isHidden || !kind.found.length;
    const links = kind.found.slice(0, NAMES).flatMap(({ index, name }) => [
      make("a", { href: `#node-${index}` }, make("bdi", {}, name)), ", "]);
    const rest = kind.found.length - NAMES;
    kind.names.replaceChildren(make("b", {}, String(kind.found.length)), " ", ...links.slice(0, -1),
      rest > 0 ? ` and ${rest} more` : "");
  };

  // --- the page -------------------------------------------------------------------------------------

  drawMap();
  fillFilters();
  const order = [...nodes].sort((one, other) => (other.unseen - one.unseen) || (worst(one.findings) - worst(other.findings)));
  byId("nodes").append(...order.map(drawNode));
  drawKinds();
  filter();
  for (const radio of document.getElementsByName("when")) {
    radio.addEventListener("change", () => { isBefore = radio.value === "before"; paintAll(); filter(); });
  }
  window.addEventListener("hashchange", () => document.querySelector(":target")?.focus({ preventScroll: true }));
  document.documentElement.dataset.drawn = String(Math.round(performance.now()));
})();
