// Draws the chart from the page's JSON, sorts tables, moves the sliders. Sets text, never markup.
"use strict";

const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8c6bb1", "#a67c00", "#56b4e9",
  "#444444", "#b2182b", "#1b7837"]; // Okabe and Ito's, darkened on white, and three more
const DASHES = ["", "7 4", "2 3"]; // after ten curves the colours come again, dashed
const SIZE = { width: 940, height: 480, left: 62, right: 16, top: 14, bottom: 48 };
const MEASURES = {
  psnr_db: { title: "PSNR, dB", of: (point) => point.psnr_db },
  ms_ssim: { title: "MS-SSIM, -10 log10(1 - x), dB", of: (point) => decibels(point.ms_ssim) },
};

function decibels(similarity) {
  return similarity === null || similarity >= 1 ? null : -10 * Math.log10(1 - similarity);
}

// Round numbers that cover low..high in about n steps.
function ticks(low, high, n) {
  const span = high - low || 1;
  const power = 10 ** Math.floor(Math.log10(span / n));
  const step = power * [1, 2, 5, 10].find((factor) => power * factor * n >= span);
  const first = Math.ceil(low / step - 1e-9);
  const values = [];
  for (let i = first; i * step <= high + step * 1e-9; i++) values.push(i * step);
  return { values, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
}

function extent(values, padding) {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const extra = (high - low || 1) * padding;
  return [low - extra, high + extra];
}

function element(name, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

function describe(curve, point) {
  const lines = [curve.name, point.label, `${point.bpp.toFixed(4)} bpp`];
  if (point.psnr_db !== null) lines.push(`PSNR ${point.psnr_db.toFixed(2)} dB`);
  if (point.ms_ssim !== null) lines.push(`MS-SSIM ${point.ms_ssim.toFixed(4)}`);
  return lines.filter((line) => line !== "").join("\n");
}

function drawAxes(svg, x, y, title) {
  const { width, height, left, right, top, bottom } = SIZE;
  for (const value of x.ticks.values) {
    svg.append(element("line", { class: "grid", x1: x.at(value), x2: x.at(value), y1: top,
      y2: height - bottom }));
    svg.append(element("text", { x: x.at(value), y: height - bottom + 18,
      "text-anchor": "middle" }, value.toFixed(x.ticks.digits)));
  }
  for (const value of y.ticks.values) {
    svg.append(element("line", { class: "grid", x1: left, x2: width - right, y1: y.at(value),
      y2: y.at(value) }));
    svg.append(element("text", { x: left - 8, y: y.at(value) + 4, "text-anchor": "end" },
      value.toFixed(y.ticks.digits)));
  }
  svg.append(element("rect", { class: "frame", x: left, y: top, width: width - left - right,
    height: height - top - bottom }));
  svg.append(element("text", { x: (left + width - right) / 2, y: height - 8,
    "text-anchor": "middle" }, "bits per pixel"));
  svg.append(element("text", { transform: `translate(15 ${(top + height - bottom) / 2}) rotate(-90)`,
    "text-anchor": "middle" }, title));
}

// A linear scale from values to the pixels from..to.
function scale(values, padding, from, to, n) {
  const [low, high] = extent(values, padding);
  return {
    at: (value) => from + ((value - low) / (high - low)) * (to - from),
    ticks: ticks(low, high, n),
  };
}

function drawChart(box, curves, measure) {
  const { width, height, left, right, top, bottom } = SIZE;
  const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `${measure.title} over bits per pixel` });
  const placed = curves.filter((curve) => curve.shown).map((curve) => ({
    curve,
    points: curve.points.filter((point) => measure.of(point) !== null),
  }));
  const points = placed.flatMap((series) => series.points);
  box.replaceChildren(svg);
  if (points.length === 0) {
    svg.append(element("text", { x: width / 2, y: height / 2, "text-anchor": "middle" },
      "no point to show"));
    return;
  }
  const x = scale(points.map((point) => point.bpp), 0.03, left, width - right, 8);
  const y = scale(points.map(measure.of), 0.05, height - bottom, top, 7);
  drawAxes(svg, x, y, measure.title);
  const targets = [];
  for (const { curve, points } of placed) {
    const spots = points.map((point) => ({ point, curve, x: x.at(point.bpp),
      y: y.at(measure.of(point)) }));
    svg.append(element("polyline", { class: "curve", stroke: curve.colour,
      "stroke-dasharray": curve.dash, points: spots.map((spot) => `${spot.x},${spot.y}`).join(" ") }));
    for (const spot of spots) {
      svg.append(element("circle", { cx: spot.x, cy: spot.y, r: 3.5, fill: curve.colour }));
    }
    targets.push(...spots);
  }
  followPointer(box, svg, targets);
}

function followPointer(box, svg, spots) {
  const ring = element("circle", { class: "near", r: 7, visibility: "hidden" });
  svg.append(ring);
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  box.append(tip);
  svg.addEventListener("pointermove", (event) => {
    const bounds = svg.getBoundingClientRect();
    const zoom = SIZE.width / bounds.width;
    const x = (event.clientX - bounds.left) * zoom;
    const y = (event.clientY - bounds.top) * zoom;
    const away = (spot) => Math.hypot(spot.x - x, spot.y - y);
    const spot = spots.reduce((best, other) => (away(other) < away(best) ? other : best));
    const near = away(spot) < 40;
    tip.hidden = !near;
    ring.setAttribute("visibility", near ? "visible" : "hidden");
    if (!near) return;
    ring.setAttribute("cx", spot.x);
    ring.setAttribute("cy", spot.y);
    tip.textContent = describe(spot.curve, spot.point);
    const onRight = spot.x > SIZE.width / 2; // there the tip goes to the left of the point
    tip.style.left = `${spot.x / zoom + (onRight ? -14 : 14)}px`;
    tip.style.top = `${spot.y / zoom}px`;
    tip.style.transform = `translate(${onRight ? "-100%" : "0"}, -50%)`;
  });
  svg.addEventListener("pointerleave", () => {
    tip.hidden = true;
    ring.setAttribute("visibility", "hidden");
  });
}

function startChart() {
  const box = document.getElementById("chart");
  if (box === null) return;
  const curves = JSON.parse(document.getElementById("curves").textContent);
  const inputs = [...document.querySelectorAll("#measures input")];
  const draw = () => {
    const chosen = inputs.find((input) => input.checked);
    drawChart(box, curves, MEASURES[chosen.value]);
  };
  curves.forEach((curve, i) => {
    curve.shown = true;
    curve.colour = COLOURS[i % COLOURS.length];
    curve.dash = DASHES[Math.floor(i / COLOURS.length) % DASHES.length];
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-pressed", "true");
    const swatch = element("svg", { width: 22, height: 4 });
    swatch.append(element("line", { x1: 0, x2: 22, y1: 2, y2: 2, stroke: curve.colour,
      "stroke-width": 3, "stroke-dasharray": curve.dash }));
    button.append(swatch, curve.name);
    button.addEventListener("click", () => {
      curve.shown = !curve.shown;
      button.setAttribute("aria-pressed", String(curve.shown));
      draw();
    });
    document.getElementById("legend").append(button);
  });
  const anyOf = (measure) => curves.some((curve) => curve.points.some((p) => measure.of(p) !== null));
  for (const input of inputs) {
    input.disabled = !anyOf(MEASURES[input.value]);
    input.addEventListener("change", draw);
  }
  const first = inputs.find((input) => !input.disabled);
  if (first !== undefined) first.checked = true;
  draw();
}

// Numbers by value, then text, empty cells last in both directions.
function compareCells(a, b, direction) {
  const empty = (cell) => cell.textContent === "";
  if (empty(a) || empty(b)) return Number(empty(a)) - Number(empty(b));
  const numeric = (cell) => "value" in cell.dataset;
  if (numeric(a) !== numeric(b)) return Number(numeric(b)) - Number(numeric(a));
  if (!numeric(a)) return direction * a.textContent.localeCompare(b.textContent);
  const [left, right] = [a, b].map((cell) => Number(cell.dataset.value.replace("inf", "Infinity")));
  return left === right ? 0 : direction * (left < right ? -1 : 1);
}

function startTable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, i) => {
    head.addEventListener("click", () => {
      const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
      const body = table.tBodies[0];
      const rows = [...body.rows];
      rows.sort((a, b) => compareCells(a.cells[i], b.cells[i], direction));
      body.append(...rows);
    });
  });
}

function startPair(figure) {
  const input = figure.querySelector("input");
  const move = () => figure.style.setProperty("--split", `${input.value}%`);
  input.addEventListener("input", move);
  move();
}

startChart();
document.querySelectorAll("table").forEach(startTable);
document.querySelectorAll(".pair").forEach(startPair);
