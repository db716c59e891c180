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
  for (const entry of document.querySelectorAll("[data-series]"))
    entry.classList.toggle("on", Boolean(name) && entry.dataset.series === name);
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

const draw = async (place, figure) => {
  await Plotly.newPlot(place, figure.data, figure.layout, figure.config);
  drawn.add(place);
  place.on("plotly_hover", (event) => emphasise(event.points[0].data.name));
  place.on("plotly_unhover", () => emphasise(pinned));
  place.on("plotly_click", (event) => pin(event.points[0].data.name));
  place.on("plotly_relayout", (change) => zoomAlong(place, change));
  place.on("plotly_afterplot", () => pinned && emphasise(pinned));
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

// ---- The contents follow the reader, and lead into folds.
const open = () => {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) target.open = true;
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
