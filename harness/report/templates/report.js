"use strict";
const root = document.documentElement;
const text = (id) => document.getElementById(id).textContent;

// Plotly and the folds' figures are gzip in base64.
const unpack = async (id) => {
  const bytes = Uint8Array.from(atob(text(id)), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
};

// ---- One series is emphasised everywhere: on hovering over it, or, until the next click, by one.
let pinned = "";
const drawn = new Set();
const seriesOf = (trace) => trace.__data__?.[0]?.trace?.name;
const emphasise = (name) => {
  for (const plot of drawn) {
    const known = name && plot.data.some((trace) => trace.name === name);
    for (const trace of plot.querySelectorAll("g.trace"))
      trace.style.opacity = known && seriesOf(trace) !== name ? 0.12 : "";
  }
  for (const entry of document.querySelectorAll("[data-series]")) {
    entry.classList.toggle("on", Boolean(name) && entry.dataset.series === name);
    if (entry instanceof HTMLButtonElement) entry.setAttribute("aria-pressed", Boolean(pinned) && entry.dataset.series === pinned);
  }
  root.classList.toggle("emphasis", Boolean(name));
};
const pin = (name) => {
  pinned = pinned === name ? "" : name;
  emphasise(pinned);
};
for (const [kind, act] of [
  ["mouseover", (name) => emphasise(name)],
  ["mouseout", () => emphasise(pinned)],
  ["click", pin],
])
  document.addEventListener(kind, (event) => {
    const entry = event.target.closest?.("[data-series]");
    if (entry) act(entry.dataset.series);
  });

// ---- Charts side by side that share their x axis zoom together.
let zooming = false;
const zoomAlong = async (plot, change) => {
  const keys = Object.keys(change).filter((key) => key.startsWith("xaxis.") && !key.includes("["));
  const moved = keys.length || "xaxis.range[0]" in change;
  if (!moved || zooming) return;
  zooming = true;
  const range = plot.layout.xaxis.autorange ? null : plot.layout.xaxis.range;
  const update = range ? { "xaxis.range": [...range] } : { "xaxis.autorange": true };
  for (const other of plot.closest(".charts").querySelectorAll(".plot"))
    if (other !== plot && drawn.has(other) && other.layout.xaxis.title.text === plot.layout.xaxis.title.text)
      await Plotly.relayout(other, structuredClone(update));
  zooming = false;
};

// ---- On a dark screen each colour is another; paper is light.
const DARK = JSON.parse(text("dark"));
const dark = matchMedia("screen and (prefers-color-scheme: dark)");
const painted = (figure) =>
  JSON.parse(JSON.stringify(figure, (_, value) => (dark.matches && Object.hasOwn(DARK, value) ? DARK[value] : value)));
const sources = new Map();
dark.addEventListener("change", async () => {
  for (const place of drawn) {
    const { data, layout, config } = painted(sources.get(place));
    await Plotly.react(place, data, layout, config);
  }
});

// ---- On a narrow screen a band's name gives way to the one before it.
const makeRoom = (place) => {
  const kept = [];
  place.layout.annotations.forEach(({ yref, yanchor }, index) => {
    const label = place.querySelector(`.annotation[data-index="${index}"]`);
    if (!label || yref !== "paper" || yanchor !== "bottom") return;
    const box = label.getBoundingClientRect();
    const covered = kept.some((b) => box.left < b.right && b.left < box.right && box.top < b.bottom && b.top < box.bottom);
    label.style.visibility = covered ? "hidden" : "";
    if (!covered) kept.push(box);
  });
};

const draw = async (place, figure) => {
  sources.set(place, figure);
  const { data, layout, config } = painted(figure);
  await Plotly.newPlot(place, data, layout, config);
  drawn.add(place);
  place.on("plotly_hover", (event) => emphasise(event.points[0].data.name));
  place.on("plotly_unhover", () => emphasise(pinned));
  place.on("plotly_click", (event) => pin(event.points[0].data.name));
  place.on("plotly_relayout", (change) => zoomAlong(place, change));
  place.on("plotly_afterplot", () => {
    makeRoom(place);
    if (pinned) emphasise(pinned);
  });
  makeRoom(place);
};
const seen = (place) => {
  const { top, bottom } = place.getBoundingClientRect();
  return bottom > 0 && top < innerHeight;
};
const drawFold = async (fold, figures) => {
  for (const place of fold.querySelectorAll(".plot"))
    if (!drawn.has(place)) await draw(place, figures[place.id.slice(6)]);
};
const drawAll = async () => {
  const script = document.createElement("script");
  script.textContent = await unpack("plotly");
  document.head.append(script);
  const figures = JSON.parse(text("figures"));
  const waiting = [...document.querySelectorAll(".plot")].filter((p) => p.id.slice(6) in figures);
  while (waiting.length) {
    // what the reader sees comes first, then the rest from the top
    const place = waiting.splice(Math.max(waiting.findIndex(seen), 0), 1)[0];
    await draw(place, figures[place.id.slice(6)]);
    await new Promise((next) => setTimeout(next)); // the page stays usable meanwhile
  }
  const folded = JSON.parse(await unpack("folded"));
  for (const fold of document.querySelectorAll("details.charted"))
    if (fold.open) await drawFold(fold, folded);
    else fold.addEventListener("toggle", () => drawFold(fold, folded), { once: true });
  root.dataset.drawn = "true";
};
drawAll().catch((error) => {
  root.classList.add("undrawn"); // the tables under the charts hold the same data
  console.error(error);
});

// ---- The table of every point: sort, filter, search, copy; what is chosen stands in the address.
const place = () => {
  const [id, query] = location.hash.slice(1).split("?");
  try {
    return [decodeURIComponent(id), new URLSearchParams(query)];
  } catch {
    return ["", new URLSearchParams()]; // no address of this page
  }
};
const every = document.querySelector("table.every");
if (every) {
  const FILTERS = ["Configuration", "Batch", "Concurrency", "Load", "Status"];
  const titles = [...every.tHead.rows[0].cells].map((th) => th.textContent);
  const rows = [...every.tBodies[0].rows];
  const numeric = [...every.tHead.rows[0].cells].map((th) => th.classList.contains("num"));
  const value = (cell) => {
    const bare = cell.cloneNode(true);
    for (const range of bare.querySelectorAll(".range")) range.remove();
    return bare.textContent.trim();
  };
  const values = rows.map((row) => [...row.cells].map(value));
  // "invalid (no steady state), 1 of 5 rounds left out": each of the words can be asked for
  const kinds = (title, text) =>
    title === "Status" ? text.split(/[,;()]\s*/).map((t) => t.trim()).filter((t) => /^\p{L}/u.test(t)).map((t) => t.replace(/ in \d+ of \d+ rounds?$/, "")) : [text];
  const bar = document.createElement("form");
  bar.className = "tools";
  const add = (tag, set) => bar.appendChild(Object.assign(document.createElement(tag), set));
  const search = add("input", { type: "search", name: "q", placeholder: "Search points" });
  search.setAttribute("aria-label", "Search points");
  const selects = titles.flatMap((title, column) => {
    if (!FILTERS.includes(title)) return [];
    const select = add("select", { name: title });
    select.setAttribute("aria-label", title);
    const known = new Set(values.flatMap((row) => kinds(title, row[column])));
    for (const text of ["", ...known])
      select.append(new Option(text || `${title}: all`, text));
    return [[select, column]];
  });
  const count = add("output", {});
  const copy = add("button", { type: "button", textContent: "Copy as CSV" });
  const number = (text) => parseFloat(text.replaceAll(",", "").replace(/^[^0-9]*?(?=-?\d)/, ""));
  const order = (column, down) => {
    const [first, second] = down ? [1, 0] : [0, 1];
    const compare = (...pair) => {
      const [x, y] = pair.map((i) => values[i][column]);
      if (!numeric[column]) {
        const words = [x, y];
        return words[first].localeCompare(words[second], "en", { numeric: true }) || pair[0] - pair[1];
      }
      const known = [x, y].map(number);
      if (known.some(Number.isNaN)) return known.map(Number.isNaN).reduce((a, b) => a - b) || pair[0] - pair[1];
      return known[first] - known[second] || pair[0] - pair[1];
    };
    const sorted = rows.map((_, i) => i).sort(compare);
    every.tBodies[0].append(...sorted.map((i) => rows[i]));
    [...every.tHead.rows[0].cells].forEach((th, i) =>
      i === column ? th.setAttribute("aria-sort", down ? "descending" : "ascending") : th.removeAttribute("aria-sort"));
  };
  let sort = "";
  const show = () => {
    const words = search.value.toLowerCase().split(/\s+/);
    let left = 0;
    rows.forEach((row, i) => {
      const text = `${row.id} ${values[i].join(" ")}`.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word)) ||
        selects.some(([select, column]) => select.value && !kinds(select.name, values[i][column]).includes(select.value));
      left += !row.hidden;
    });
    count.value = `${left} of ${rows.length} points`;
  };
  const remember = () => {
    const chosen = new URLSearchParams([...new FormData(bar)].filter(([, text]) => text));
    if (sort) chosen.set("sort", sort);
    history.replaceState(null, "", `#points${chosen.size ? `?${chosen}` : ""}`);
  };
  const recall = () => {
    const [id, chosen] = place();
    if (id !== "points") return;
    search.value = chosen.get("q") ?? "";
    for (const [select] of selects) select.value = chosen.get(select.name) ?? "";
    sort = chosen.get("sort") ?? "";
    if (sort) order(parseInt(sort), sort.endsWith("d"));
    show();
  };
  every.tHead.rows[0].querySelectorAll("th").forEach((th, column) => {
    const button = document.createElement("button");
    button.append(...th.childNodes);
    th.append(button);
    button.addEventListener("click", () => {
      sort = sort === `${column}d` ? `${column}a` : `${column}d`;
      order(column, sort.endsWith("d"));
      remember();
    });
  });
  bar.addEventListener("input", () => { show(); remember(); });
  bar.addEventListener("submit", (event) => event.preventDefault());
  copy.addEventListener("click", () => {
    const quote = (text) => `"${text.replaceAll('"', '""').replace(/^(?=[=+@-])/, "'")}"`;
    const plain = (text, column) => (numeric[column] ? text.replaceAll(",", "") : text);
    const lines = [...every.tBodies[0].rows].filter((row) => !row.hidden)
      .map((row) => values[rows.indexOf(row)].map(plain));
    const box = Object.assign(document.createElement("textarea"), {
      value: [titles, ...lines].map((line) => line.map(quote).join(",")).join("\n"),
    });
    document.body.append(box);
    box.select();
    document.execCommand("copy"); // works in a file too, where navigator.clipboard does not
    box.remove();
    copy.textContent = `Copied ${lines.length} points`;
  });
  every.closest(".scroll").before(bar);
  show();
  recall();
  addEventListener("hashchange", recall);
}

// ---- What scrolls sideways can be scrolled by the keyboard.
const reachable = () => {
  for (const box of document.querySelectorAll(".scroll:not(.tall)"))
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
};
addEventListener("resize", reachable);
document.addEventListener("toggle", reachable, true);
reachable();

// ---- The contents follow the reader, and lead into folds.
const open = () => {
  const target = location.hash && document.getElementById(place()[0]);
  if (target instanceof HTMLDetailsElement) target.open = true;
  if (target) target.scrollIntoView();
};
addEventListener("hashchange", open);
open();
const links = new Map(
  [...document.querySelectorAll("nav a")].map((a) => [a.hash.slice(1), a]),
);
const places = [...links.keys()].map((id) => document.getElementById(id)).filter(Boolean);
const follow = () => {
  const passed = places.filter((place) => place.getBoundingClientRect().top < 120);
  const now = passed.length ? passed[passed.length - 1].id : places[0]?.id;
  for (const [id, link] of links) link.classList.toggle("now", id === now);
};
document.addEventListener("scroll", follow, { passive: true });
follow();
