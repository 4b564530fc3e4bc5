"use strict";
// The view of the run: training curve, popularity, metrics, hyperparameters.

async function runView() {
  const { facts, metrics, config, curve, curve_metric: metric, popularity, best_epoch: best, sample } = state.run;
  const tables = Object.entries(metrics).map(([split, values]) => metricTable(split, values));
  const value = (name, given) => (given === null ? "none" : typeof given === "number" && name !== "seed" ? Number(rounded(given)).toLocaleString("en", { maximumSignificantDigits: 15 }) : String(given));
  const list = (entries) => h("dl", { class: "facts" }, entries.filter(([, given]) => given !== "").map(([name, given]) => [h("dt", {}, name), h("dd", {}, value(name, given))]));
  const measured = tables.length ? section("Metrics", "over all items", h("div", { class: "charts" }, tables))
    : section("Metrics", null, empty("None: no interactions were held out to measure this run."));
  return [heading("The run"), h("p", { class: "lead" }, `${facts.model}, trained on ${facts.data}.`),
    h("div", { class: "charts" }, curve.length ? curveChart(curve, metric, best) : null, popularityChart(popularity, sample)), measured,
    h("div", { class: "charts" }, section("Data", null, list(Object.entries(facts))), Object.keys(config).length ? section("Hyperparameters", null, list(Object.entries(config))) : null)];
}

function metricTable(split, values) {
  const names = [...new Set(Object.keys(values).map((key) => key.split("@")[0]))];
  const cutoffs = [...new Set(Object.keys(values).map((key) => key.split("@")[1]).filter(Boolean))];
  const cell = (name, cutoff) => h("td", {}, typeof values[`${name}@${cutoff}`] === "number" ? values[`${name}@${cutoff}`].toFixed(4) : "");
  return h("div", { class: "chart" }, h("h3", { class: "small muted" }, `${split} split`), h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Metrics of the ${split} split` }, h("table", {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "metric"), cutoffs.map((cutoff) => h("th", { scope: "col" }, `@${cutoff}`)))),
    h("tbody", {}, names.map((name) => h("tr", {}, h("th", { scope: "row" }, name), cutoffs.map((cutoff) => cell(name, cutoff))))))));
}

// ---- Charts ----

function chart(title, legend, label, draw) {
  const svg = s("svg", { viewBox: "0 0 440 230", role: "img", "aria-label": label });
  draw(svg);
  return h("figure", { class: "chart" }, h("h2", {}, title), h("div", { class: "legend" }, legend.map(([type, name]) => h("span", { class: type }, name))), svg);
}

function curveChart(curve, metric, best) {
  const [left, right, top, bottom] = [44, 396, 12, 200];
  const last = curve[curve.length - 1].epoch, first = curve[0].epoch;
  const x = (epoch) => (last === first ? (left + right) / 2 : left + ((right - left) * (epoch - first)) / (last - first));
  const line = (key) => {
    const points = curve.filter((each) => typeof each[key] === "number");
    const values = points.map((each) => each[key]);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const y = (value) => (high === low ? (top + bottom) / 2 : bottom - ((bottom - top) * (value - low)) / (high - low));
    return { points: points.map((each) => [x(each.epoch).toFixed(1), y(each[key]).toFixed(1)]), low, high, any: points.length > 0 };
  };
  const loss = line("loss"), valid = line("valid");
  const legend = [valid.any ? ["one", metric] : null, loss.any ? ["two", "loss"] : null].filter(Boolean);
  const ends = valid.any ? `${metric} from ${valid.low.toFixed(3)} to ${valid.high.toFixed(3)}` : loss.any ? `loss from ${loss.high.toFixed(3)} to ${loss.low.toFixed(3)}` : "no values";
  return chart("Training curve", legend, `Training curve over ${plural(last, "epoch")}, ${ends}`, (svg) => {
    svg.append(s("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }));
    const mark = (text, at, y, anchor) => svg.append(s("text", { x: at, y, "text-anchor": anchor }, text));
    const draw = (type, { points, low, high }, at, anchor, digits) => {
      if (points.length > 1) svg.append(s("path", { class: type, d: points.map(([px, py], place) => `${place ? "L" : "M"}${px} ${py}`).join("") }));
      else svg.append(s("circle", { class: type, cx: points[0][0], cy: points[0][1], r: 4 }));
      if (low === high) return mark(low.toFixed(digits), at, Number(points[0][1]) + 4, anchor);
      mark(high.toFixed(digits), at, top + 4, anchor);
      return mark(low.toFixed(digits), at, bottom, anchor);
    };
    if (valid.any) draw("one", valid, left - 6, "end", 3);
    if (loss.any) draw("two", loss, right + 6, "start", 2);
    const isInside = best > first && best < last;
    if (last === first) return mark(`epoch ${first}`, x(first), bottom + 18, "middle");
    mark(`epoch ${first}`, left, bottom + 18, "start");
    if (!isInside || x(best) < right - 80) mark(best === last ? `${last}, the best` : String(last), right, bottom + 18, "end");
    if (!isInside) return null;
    svg.append(s("line", { class: "axis", x1: x(best), x2: x(best), y1: top, y2: bottom, "stroke-dasharray": "3 3" }));
    return mark(`best: ${best} of ${last}`, Math.min(Math.max(x(best), left + 100), right - 30), bottom + 18, "middle");
  });
}

const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 0 });

function popularityChart(bins, sample) {
  const [left, right, top, bottom] = [44, 430, 12, 190];
  const most = Math.max(...bins.map((bin) => Math.max(bin.clicked, bin.recommended)), 0.01);
  const width = (right - left) / Math.max(bins.length, 1);
  const whole = (bin) => (bin.least === bin.most ? String(bin.least) : `${bin.least}–${bin.most}`);
  const isWide = bins.length > 7 || bins.some((bin) => bin.most > 999); // then ranges would overlap
  const name = (bin) => (isWide && bin.least !== bin.most ? `${SHORT.format(bin.least)}+` : whole(bin));
  const step = Math.ceil(bins.length / 9);
  const label = `Shares of recommendations and clicks by popularity: ${bins.map((bin) => `${whole(bin)} clicks: ${percent(bin.recommended)} of recommendations, ${percent(bin.clicked)} of clicks`).join("; ")}`;
  return chart("Popularity of items", [["one", "recommended"], ["two", "clicked"]], label, (svg) => {
    svg.append(s("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }));
    svg.append(s("text", { x: left - 6, y: top + 4, "text-anchor": "end" }, percent(most)));
    svg.append(s("text", { x: left - 6, y: bottom, "text-anchor": "end" }, percent(0)));
    bins.forEach((bin, place) => {
      const bar = (value, shift, type) => {
        const height = ((bottom - top) * value) / most;
        svg.append(s("rect", { class: type, x: left + place * width + shift, y: bottom - height, width: width * 0.36, height, rx: 2 }));
      };
      bar(bin.recommended, width * 0.12, "one");
      bar(bin.clicked, width * 0.52, "two");
      if (place % step === 0) svg.append(s("text", { x: left + (place + 0.5) * width, y: bottom + 16, "text-anchor": "middle" }, name(bin)));
    });
    svg.append(s("text", { x: right, y: bottom + 36, "text-anchor": "end" }, `training clicks of the item; lists of ${plural(sample, "user")}`));
  });
}
