// <time-chart kind="bars" unit="s" data='{"at": [...], "series": [{"name", "colour", "values"}]}'>: values over time.
//
// `at` are seconds since 1970; `colour` is one of the --chart-… of the stylesheet (good, bad, warn, quiet, odd, line); bars are
// stacked. Drawn anew when its data, its size or the theme changes.
"use strict";

const HEIGHT = 200;

class TimeChart extends HTMLElement {
  static observedAttributes = ["data"];

  connectedCallback() {
    this.sized = new ResizeObserver(() => this.plot?.setSize({ width: this.clientWidth, height: HEIGHT }));
    this.sized.observe(this);
    this.recolour = () => this.draw();
    document.addEventListener("themechange", this.recolour);
    this.draw();
  }

  disconnectedCallback() {
    this.sized.disconnect();
    document.removeEventListener("themechange", this.recolour);
    this.plot?.destroy();
    this.plot = null;
  }

  attributeChangedCallback() {
    if (this.isConnected && this.sized) this.draw();
  }

  draw() {
    const { at, series } = JSON.parse(this.getAttribute("data"));
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const isBars = this.getAttribute("kind") === "bars";
    const columns = isBars ? stacked(series) : series.map((one) => one.values);
    const drawn = series.map((one) => ({
      label: one.name,
      stroke: colour(`--chart-${one.colour}`),
      fill: isBars ? colour(`--chart-${one.colour}`) : undefined,
      width: isBars ? 0 : 2,
      paths: isBars ? uPlot.paths.bars({ size: [0.8, 40], gap: 1 }) : undefined,
      spanGaps: !isBars,
      points: { show: !isBars, size: 3 },
      value: (_, __, ___, position) => spelled(position === null ? null : one.values[position], this.getAttribute("unit")),
    }));
    if (isBars) drawn.reverse();
    if (isBars) columns.reverse();
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
    const unit = this.getAttribute("unit");
    const clock = { ...axis, values: (_, ticks, __, ___, step) => ticks.map((tick) => spelledTime(tick, step)) };
    const options = {
      width: this.clientWidth || 400,
      height: HEIGHT,
      cursor: { y: false, drag: { x: false, y: false } },
      legend: { live: true },
      scales: { y: { range: (_, least, most) => [0, most > 0 ? most * 1.1 : 1] } },
      axes: [clock, { ...axis, size: 64, values: (_, ticks) => ticks.map((tick) => spelled(tick, unit)) }],
      series: [{ value: (_, seconds) => (seconds === null ? "–" : new Date(seconds * 1000).toLocaleString("en-GB")) }, ...drawn],
    };
    this.plot?.destroy();
    this.replaceChildren();
    this.plot = new uPlot(options, [at, ...columns], this);
  }
}

// Each on top of those before it; the highest is drawn first, so that the lower ones stand before it.
function stacked(series) {
  const sums = series[0].values.map(() => 0);
  return series.map((one) => one.values.map((value, index) => (sums[index] += value ?? 0)));
}

function spelled(value, unit) {
  if (value === null || value === undefined) return "–";
  if (unit !== "s") return value.toLocaleString("en", { maximumFractionDigits: 1 }).replaceAll(",", "\u202f");
  return value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(1)} s`;
}

// In the time zone of whoever looks, by a clock of 24 hours; days where a step is one.
function spelledTime(seconds, step) {
  const at = new Date(seconds * 1000);
  const isDay = step >= 86400 || (at.getHours() === 0 && at.getMinutes() === 0);
  if (isDay) return at.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
  return at.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
}

customElements.define("time-chart", TimeChart);
