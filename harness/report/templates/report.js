"use strict";
const figures = JSON.parse(document.getElementById("figures").textContent);
for (const [id, figure] of Object.entries(figures)) {
  const place = document.getElementById(`chart-${id}`);
  const draw = () => Plotly.newPlot(place, figure.data, figure.layout, figure.config);
  const fold = place.closest("details");
  if (fold) fold.addEventListener("toggle", draw, { once: true });
  else draw();
}

// The contents follow the reader.
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
