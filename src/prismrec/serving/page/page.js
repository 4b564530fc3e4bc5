"use strict";
// One page over the API of `prismrec serve`. Text of users and items is only ever inserted as text.

const $ = (selector) => document.querySelector(selector);
const main = $("#main");
const described = new Map(); // item id -> row of the item table
const state = {
  run: null,
  visitor: JSON.parse(sessionStorage.getItem("visitor") || "[]"),
  filters: { where: "", column: "", most: 1, diversity: 0, seen: false, k: 10 },
  before: [], // the list before the last change of the visitor
  turn: 0, // answers to an earlier view are dropped
};

// ---- Elements ----

function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat(2).filter((child) => child !== null && child !== undefined));
  return element;
}

function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.flat());
  return element;
}

const heading = (text) => h("h1", { tabindex: "-1" }, text);
const section = (title, note, ...content) =>
  h("section", {}, h("div", { class: "head" }, h("h2", {}, title), note ? h("span", { class: "muted small" }, note) : null), content);
const tell = (text) => { $("#status").textContent = text; };
const plural = (count, one) => `${count.toLocaleString("en")} ${one}${count === 1 ? "" : "s"}`;
const percent = (share) => `${Math.round(100 * share)} %`;

// ---- Asking ----

const offline = $("#offline") ? JSON.parse($("#offline").textContent) : null;

async function ask(path, query, body) {
  const url = `api/${path}${query ? `?${new URLSearchParams(query)}` : ""}`;
  if (offline) {
    const recorded = offline.answers[body ? `${url} ${JSON.stringify(body)}` : url];
    return remember(recorded || offlineAnswer(offline, path, query, body));
  }
  const headers = {};
  const token = sessionStorage.getItem("token");
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body) headers["Content-Type"] = "application/json";
  const response = await fetch(url, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body) });
  if (response.status === 401) { askForToken(); throw new Error("This server asks for a token."); }
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.detail || response.statusText);
  return remember(answer);
}

function remember(answer) {
  const entries = [...(answer.items || []), ...(answer.history || []), ...(answer.lists || []).flatMap((list) => list.items)];
  if (answer.item && answer.fields) entries.push(answer);
  for (const entry of entries) if (entry.fields) described.set(entry.item, { ...described.get(entry.item), ...entry.fields });
  return answer;
}

const problem = (error) => h("p", { class: "problem", role: "alert" }, error.message);
const columns = () => [state.run.title, state.run.image].filter(Boolean);
const titleOf = (id) => (state.run.title && described.get(id)?.[state.run.title]) || id;

function askForToken() {
  const field = h("input", { type: "password", id: "token", autocomplete: "off" });
  const enter = (event) => { event.preventDefault(); sessionStorage.setItem("token", field.value); start(); };
  main.replaceChildren(heading("A token, please"), h("p", { class: "lead" }, "The owner of this server has set one."),
    h("form", { onsubmit: enter, class: "fields" }, h("label", { class: "field", for: "token" }, h("span", {}, "Token"), field),
      h("button", { class: "button main" }, "Enter")));
  field.focus();
}

// ---- Items ----

function frame(id, large = false) {
  const box = h("div", { class: large ? "frame large" : "frame", "aria-hidden": "true" }, titleOf(id).slice(0, 2).toUpperCase());
  const name = state.run.image && described.get(id)?.[state.run.image];
  if (name && state.run.pictures) showPicture(box, id, large);
  return box;
}

async function showPicture(box, id, large) {
  const url = offline ? state.run.pictures[id] : `api/picture?${new URLSearchParams({ id })}`;
  if (!url) return;
  const image = h("img", { alt: "", loading: large ? "eager" : "lazy", decoding: "async" });
  image.addEventListener("error", () => { box.textContent = titleOf(id).slice(0, 2).toUpperCase(); });
  const token = sessionStorage.getItem("token");
  if (token && !offline) { // an <img> cannot send a token
    const response = await fetch(url, { headers: { Authorization: `Bearer ${token}` } });
    if (!response.ok) return;
    image.src = URL.createObjectURL(await response.blob());
    image.addEventListener("load", () => URL.revokeObjectURL(image.src));
  } else image.src = url;
  box.replaceChildren(image);
}

function addButton(id) {
  const chosen = state.visitor.includes(id);
  return h("button", {
    class: "add", type: "button", "data-add": id, "aria-pressed": String(chosen),
    "aria-label": `${titleOf(id)}: clicked by the visitor`, title: "Add to the visitor's clicks, or remove", onclick: () => toggle(id),
  }, chosen ? "✓" : "+");
}

function card(id, note) {
  return h("article", { class: "card" },
    h("a", { href: itemLink(id) }, frame(id), h("span", { class: "title" }, titleOf(id))),
    note ? h("div", { class: "note" }, note) : null, addButton(id));
}

const itemLink = (id) => `#/item/${encodeURIComponent(id)}`;
const userLink = (id) => `#/user/${encodeURIComponent(id)}`;

function toggle(id) {
  const chosen = state.visitor.includes(id);
  state.visitor = chosen ? state.visitor.filter((each) => each !== id) : [...state.visitor, id];
  sessionStorage.setItem("visitor", JSON.stringify(state.visitor));
  tell(`${titleOf(id)} ${chosen ? "removed from" : "added to"} the visitor's clicks`);
  showVisitorCount();
  for (const button of document.querySelectorAll("[data-add]")) {
    const isIn = state.visitor.includes(button.dataset.add);
    button.setAttribute("aria-pressed", String(isIn));
    button.textContent = isIn ? "✓" : "+";
  }
  if (route().page === "visitor") updateVisitor();
}

function showVisitorCount() {
  $("#count").textContent = state.visitor.length || "";
}

// ---- Lists and reasons ----

function filterBody() {
  const { where, column, most, diversity, seen, k } = state.filters;
  const body = { k: Number(k), columns: columns() };
  if (where.trim()) body.where = where;
  if (column) body.at_most = { [column]: Number(most) };
  if (diversity > 0) body.diversity = Number(diversity);
  if (seen) body.seen = true;
  return body;
}

function filterPanel(apply) {
  const names = Object.keys(state.run.columns);
  let timer = 0;
  const change = (name, value) => {
    state.filters[name] = value;
    clearTimeout(timer);
    timer = setTimeout(apply, 250);
  };
  const field = (label, input, wide) => h("label", { class: wide ? "field wide" : "field" }, h("span", {}, label), input);
  const text = (name, attributes) => h("input", { ...attributes, value: state.filters[name], oninput: (event) => change(name, event.target.value) });
  const options = ["", ...names].map((name) => h("option", { value: name, selected: name === state.filters.column }, name || "no limit"));
  const example = names.includes("price") ? "price < 20" : state.run.title ? `${state.run.title} like '%a%'` : "item_id like 'a%'";
  const active = Boolean(state.filters.where || state.filters.column || state.filters.diversity > 0 || state.filters.seen);
  return h("details", { class: "panel", open: active }, h("summary", {}, "Filters"), h("div", { class: "fields" },
    field(`Condition over ${["item_id", ...names].join(", ")}`, text("where", { placeholder: example, name: "where", spellcheck: "false" }), true),
    field("Limit per", h("select", { name: "column", onchange: (event) => change("column", event.target.value) }, options)),
    field("At most", text("most", { type: "number", min: 1, name: "most" })),
    field("Variety", text("diversity", { type: "range", min: 0, max: 1, step: 0.05, name: "diversity" })),
    field("Length", text("k", { type: "number", min: 1, max: 100, name: "k" })),
    h("label", { class: "check" }, h("input", { type: "checkbox", checked: state.filters.seen, name: "seen", onchange: (event) => change("seen", event.target.checked) }), "Known items too")));
}

function rankedList(list, before = null) {
  if (!list.items.length) return h("p", { class: "empty" }, "No item is left under these filters.");
  const best = Math.max(...list.items.map((each) => Math.abs(each.score)), 1e-9);
  const rows = list.items.map((each, place) => {
    const bar = h("span");
    bar.style.width = `${Math.max(0, (100 * each.score) / best)}%`;
    const score = h("div", { class: "score", "aria-hidden": "true" }, bar);
    return h("li", { "data-item": each.item },
      h("span", { class: "rank" }, String(place + 1)), h("a", { href: itemLink(each.item), tabindex: "-1", "aria-hidden": "true" }, frame(each.item)),
      h("div", {}, h("a", { class: "title", href: itemLink(each.item) }, titleOf(each.item)), movement(each.item, place, before),
        score, h("div", { class: "why" })), addButton(each.item));
  });
  return h("ol", { class: "ranked" }, rows);
}

// A file compares only its own items, unless it holds the answer of the server.
const within = (answer) => (answer.within ? h("p", { class: "muted small within" }, `The best among the ${plural(answer.within, "item")} of this file.`) : "");

function movement(id, place, before) {
  if (!before || !before.length) return null;
  const earlier = before.indexOf(id);
  if (earlier === place) return null;
  const text = earlier < 0 ? "new" : earlier > place ? `▲ ${earlier - place}` : `▼ ${place - earlier}`;
  return h("span", { class: "move" }, text);
}

async function showReasons(list, who) {
  const items = list.items.map((each) => each.item).slice(0, 50);
  if (!items.length || list.popular) return;
  let answer;
  try {
    answer = await ask("explain", null, { ...who, items });
  } catch (error) {
    if (main.contains(document.querySelector(".why"))) document.querySelector(".why").textContent = error.message;
    return;
  }
  for (const row of main.querySelectorAll(".ranked li")) {
    const reasons = answer.reasons.filter((each) => each.item === row.dataset.item && each.contribution > 0).slice(0, 2);
    row.querySelector(".why").replaceChildren(...reasons.map(reason));
  }
  const approximate = main.querySelector(".approximate");
  if (approximate) approximate.textContent = answer.exact ? "Shares are exact parts of the score." : "Shares approximate the score.";
}

function reason(each, place) {
  const details = [each.share > 0 ? percent(each.share) : null, each.alike ? `alike in ${each.alike}` : null].filter(Boolean).join(", ");
  return h("span", {}, place ? "and " : "because of ", h("a", { href: itemLink(each.clicked) }, frame(each.clicked), titleOf(each.clicked)), details ? ` (${details})` : "");
}

// ---- Views ----

async function home() {
  const found = await ask("search", { q: "", limit: 24 });
  const users = found.users.slice(0, 12).map((each) => h("li", {}, h("a", { class: "chip", href: userLink(each.user) }, each.user, h("span", { class: "muted" }, String(each.clicks)))));
  const facts = state.run.facts;
  return [heading(`What ${facts.model} learned`),
    h("p", { class: "lead" }, `From ${plural(facts["training interactions"], "click")} of ${plural(facts.users, "user")} on ${plural(facts.items, "item")} of the data set ${facts.data}. Open an item or a user. Or click + on a few items to become a visitor.${offline ? ` This file knows ${plural(offline.set.items.length, "item")} and ${plural(offline.set.users.length, "user")} of them.` : ""}`),
    section("Popular items", null, h("div", { class: "grid" }, found.items.map((each) => card(each.item)))),
    section("Active users", "with their numbers of clicks", h("ul", { class: "chips" }, users))];
}

async function itemView(id) {
  const item = await ask("item", { id });
  const shown = Object.entries(item.fields).filter(([name, value]) => ![state.run.title, state.run.image, "description"].includes(name) && value !== null);
  const facts = [["item", id], ...shown.map(([name, value]) => [name, typeof value === "object" ? JSON.stringify(value) : String(value)]), ["clicks", String(item.clicks)]];
  const add = h("button", { class: "button main", type: "button", onclick: () => { if (!state.visitor.includes(id)) toggle(id); location.hash = "#/visitor"; } }, "Start a visitor from it");
  const top = h("div", { class: "item" }, frame(id, true), h("div", {}, heading(titleOf(id)),
    item.fields.description ? h("p", {}, item.fields.description) : h("p"),
    h("dl", { class: "facts" }, facts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])), add));
  const names = { image: "Looks alike", text: "Reads alike", audio: "Sounds alike", acoustic: "Sounds alike" };
  const ways = [["model", "Similar", "by what the model learned"], ...item.alike.map((each) => [each, names[each] || `Alike in ${each}`, `by ${each} features`])];
  const rows = ways.map(([by, title, note]) => {
    const strip = h("div", { class: "strip", "data-by": by });
    ask("similar", null, { items: [id], by, k: 12, columns: columns() }).then(
      (answer) => strip.replaceChildren(...answer.lists[0].items.map((each) => card(each.item, each.score.toFixed(2)))),
      (error) => strip.replaceChildren(problem(error)));
    return section(title, note, strip);
  });
  return [top, rows];
}

async function userView(id) {
  const user = await ask("user", { id, limit: 200 });
  const place = h("div", { "aria-live": "polite" });
  const note = h("span", { class: "muted small approximate" });
  let asked = 0;
  const apply = async () => {
    const turn = ++asked;
    try {
      const answer = await ask("recommend", null, { users: [id], ...filterBody() });
      if (turn !== asked) return;
      place.replaceChildren(rankedList(answer.lists[0]), within(answer));
      if (answer.lists[0].popular) note.textContent = "Nothing is known of this user: these are popular items.";
      else showReasons(answer.lists[0], { user: id });
    } catch (error) { if (turn === asked) place.replaceChildren(problem(error)); }
  };
  const history = section("History", plural(user.clicks, "item"), h("div", { class: "grid dense" }, user.history.map((each) => card(each.item))));
  const recommended = section("Recommended", null, filterPanel(apply), place, h("p", {}, note));
  apply();
  return [heading(`User ${id}`), h("p", { class: "lead" }, user.trained ? "What they clicked, and what the model makes of it." : "This user has no training interaction."),
    h("div", { class: "beside" }, history, recommended)];
}

async function visitorView() {
  const found = h("div", { class: "grid dense", id: "candidates" });
  const field = h("input", { type: "search", id: "more", placeholder: "Search items to click", oninput: () => { clearTimeout(timer); timer = setTimeout(find, 150); } });
  let timer = 0;
  const find = async () => {
    const answer = await ask("search", { q: field.value, kind: "items", limit: 18 });
    found.replaceChildren(...answer.items.map((each) => card(each.item)));
  };
  state.before = [];
  const clicked = h("div", { class: "grid dense", id: "clicked" });
  const left = h("div", {}, section("Clicked", null, clicked),
    section("Click more", null, h("label", { class: "field", for: "more" }, h("span", { class: "hidden" }, "Search items to click"), field), h("br"), found));
  const right = section("Recommended now", null, filterPanel(updateVisitor), h("div", { id: "now", "aria-live": "polite" }), h("p", {}, h("span", { class: "muted small approximate" })));
  find();
  setTimeout(updateVisitor);
  return [heading("A visitor"), h("p", { class: "lead" }, "Nobody that the model knows: click a few items and see what it would recommend. Nothing is stored."),
    h("div", { class: "beside" }, left, right)];
}

async function updateVisitor() {
  const clicked = $("#clicked"), now = $("#now");
  if (!clicked) return;
  const turn = ++state.turn;
  const unknown = state.visitor.filter((id) => !described.has(id));
  await Promise.all(unknown.map((id) => ask("item", { id }).catch(() => { state.visitor = state.visitor.filter((each) => each !== id); })));
  showVisitorCount();
  clicked.replaceChildren(...(state.visitor.length ? state.visitor.map((id) => card(id)) : [h("p", { class: "empty" }, "Nothing yet.")]));
  if (!state.visitor.length) { now.replaceChildren(h("p", { class: "empty" }, "Click an item to get recommendations.")); state.before = []; return; }
  try {
    const answer = await ask("recommend", null, { histories: [state.visitor], ...filterBody() });
    if (turn !== state.turn) return;
    now.replaceChildren(rankedList(answer.lists[0], state.before), within(answer));
    state.before = answer.lists[0].items.map((each) => each.item);
    tell(`Recommended first: ${state.before.slice(0, 3).map(titleOf).join(", ")}`);
    showReasons(answer.lists[0], { history: state.visitor });
  } catch (error) { if (turn === state.turn) now.replaceChildren(problem(error)); }
}

function asText(value) {
  if (value === null) return "none";
  if (typeof value !== "number") return String(value);
  return Number.isInteger(value) ? value.toLocaleString("en") : String(Number(value.toPrecision(6)));
}

async function runView() {
  const { facts, metrics, config, curve, curve_metric: metric, popularity, best_epoch: best, sample } = state.run;
  const tables = Object.entries(metrics).map(([split, values]) => metricTable(split, values));
  const list = (entries) => h("dl", { class: "facts" }, entries.map(([name, value]) => [h("dt", {}, name), h("dd", {}, asText(value))]));
  return [heading("The run"), h("p", { class: "lead" }, `${facts.model}, trained on ${facts.data}.`),
    h("div", { class: "charts" }, curve.length ? curveChart(curve, metric, best) : null, popularityChart(popularity, sample)),
    tables.length ? section("Metrics", "over all items", h("div", { class: "charts" }, tables)) : null,
    h("div", { class: "charts" }, section("Data", null, list(Object.entries(facts))), section("Hyperparameters", null, list(Object.entries(config))))];
}

function metricTable(split, values) {
  const names = [...new Set(Object.keys(values).map((key) => key.split("@")[0]))];
  const cutoffs = [...new Set(Object.keys(values).map((key) => key.split("@")[1]).filter(Boolean))];
  const cell = (name, cutoff) => h("td", {}, typeof values[`${name}@${cutoff}`] === "number" ? values[`${name}@${cutoff}`].toFixed(4) : "");
  return h("div", { class: "chart" }, h("h3", { class: "small muted" }, `${split} split`), h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Metrics of the ${split} split` }, h("table", {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "metric"), cutoffs.map((cutoff) => h("th", { scope: "col" }, `@${cutoff}`)))),
    h("tbody", {}, names.map((name) => h("tr", {}, h("th", { scope: "row" }, name), cutoffs.map((cutoff) => cell(name, cutoff))))))));
}

function chart(title, names, label, draw) {
  const svg = s("svg", { viewBox: "0 0 440 230", role: "img", "aria-label": label });
  draw(svg);
  return h("figure", { class: "chart" }, h("h2", {}, title), h("div", { class: "legend" }, names.map((name) => h("span", {}, name))), svg);
}

function curveChart(curve, metric, best) {
  const [left, right, top, bottom] = [44, 396, 12, 200];
  const last = curve[curve.length - 1].epoch, first = curve[0].epoch;
  const x = (epoch) => left + ((right - left) * (epoch - first)) / Math.max(last - first, 1);
  const line = (key) => {
    const points = curve.filter((each) => typeof each[key] === "number");
    const values = points.map((each) => each[key]);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const y = (value) => bottom - ((bottom - top) * (value - low)) / (high - low || 1);
    return { path: points.map((each, place) => `${place ? "L" : "M"}${x(each.epoch).toFixed(1)} ${y(each[key]).toFixed(1)}`).join(""), low, high, any: points.length > 0 };
  };
  const loss = line("loss"), valid = line("valid");
  const ends = valid.any ? `${metric} from ${valid.low.toFixed(3)} to ${valid.high.toFixed(3)}` : `loss from ${loss.high.toFixed(3)} to ${loss.low.toFixed(3)}`;
  return chart("Training curve", [metric, "loss"], `Training curve over ${last} epochs, ${ends}`, (svg) => {
    svg.append(s("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }));
    const mark = (text, at, y, anchor) => svg.append(s("text", { x: at, y, "text-anchor": anchor }, text));
    if (valid.any) { svg.append(s("path", { class: "one", d: valid.path })); mark(valid.high.toFixed(3), left - 6, top + 4, "end"); mark(valid.low.toFixed(3), left - 6, bottom, "end"); }
    if (loss.any) { svg.append(s("path", { class: "two", d: loss.path })); mark(loss.high.toFixed(2), right + 6, top + 4, "start"); mark(loss.low.toFixed(2), right + 6, bottom, "start"); }
    mark(`epoch ${first}`, left, bottom + 18, "start");
    if (!best || x(best) < right - 70) mark(String(last), right, bottom + 18, "end");
    if (best && best > first && best < last) {
      svg.append(s("line", { class: "axis", x1: x(best), x2: x(best), y1: top, y2: bottom, "stroke-dasharray": "3 3" }));
      mark(`best: ${best} of ${last}`, Math.min(x(best), right - 30), bottom + 18, "middle");
    }
  });
}

function popularityChart(bins, sample) {
  const [left, right, top, bottom] = [44, 430, 12, 190];
  const most = Math.max(...bins.map((bin) => Math.max(bin.clicked, bin.recommended)), 0.01);
  const width = (right - left) / Math.max(bins.length, 1);
  const name = (bin) => (bin.least === bin.most ? String(bin.least) : `${bin.least}–${bin.most}`);
  const label = `Shares of recommendations and clicks by popularity: ${bins.map((bin) => `${name(bin)} clicks: ${percent(bin.recommended)} of recommendations, ${percent(bin.clicked)} of clicks`).join("; ")}`;
  return chart("Popularity of items", ["recommended", "clicked"], label, (svg) => {
    svg.append(s("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }));
    svg.append(s("text", { x: left - 6, y: top + 4, "text-anchor": "end" }, percent(most)));
    bins.forEach((bin, place) => {
      const bar = (value, shift, type) => {
        const height = ((bottom - top) * value) / most;
        svg.append(s("rect", { class: type, x: left + place * width + shift, y: bottom - height, width: width * 0.36, height, rx: 2 }));
      };
      bar(bin.recommended, width * 0.12, "one");
      bar(bin.clicked, width * 0.52, "two");
      svg.append(s("text", { x: left + (place + 0.5) * width, y: bottom + 16, "text-anchor": "middle" }, name(bin)));
    });
    svg.append(s("text", { x: right, y: bottom + 34, "text-anchor": "end" }, `training clicks of the item; lists of ${sample.toLocaleString("en")} users`));
  });
}

// ---- Search field ----

const query = $("#query"), results = $("#found");
let searching = 0, chosen = -1;

async function search() {
  const turn = ++searching;
  const text = query.value.trim();
  if (!text) { close(); return; }
  let answer;
  try { answer = await ask("search", { q: text.slice(0, 200), limit: 8 }); } catch (error) { answer = { items: [], users: [] }; tell(error.message); }
  if (turn !== searching) return;
  const option = (link, ...content) => h("li", { role: "option", id: "", "aria-selected": "false", "data-link": link, onpointerdown: (event) => { event.preventDefault(); go(link); } }, content);
  const rows = [...answer.items.map((each) => option(itemLink(each.item), frame(each.item), h("span", { class: "grow" }, titleOf(each.item)), h("span", { class: "muted small" }, "item"))),
    ...answer.users.map((each) => option(userLink(each.user), h("span", { class: "grow" }, each.user), h("span", { class: "muted small" }, "user")))];
  rows.forEach((row, place) => { row.id = `found-${place}`; });
  chosen = -1;
  results.replaceChildren(...(rows.length ? rows : [h("li", { class: "none", role: "option", "aria-selected": "false", "aria-disabled": "true" }, "Nothing found.")]));
  results.hidden = false;
  query.setAttribute("aria-expanded", "true");
  query.removeAttribute("aria-activedescendant");
  tell(`${plural(rows.length, "result")}`);
}

function close() {
  results.hidden = true;
  query.setAttribute("aria-expanded", "false");
  query.removeAttribute("aria-activedescendant");
}

function go(link) {
  searching++;
  query.value = "";
  close();
  location.hash = link;
}

function choose(place) {
  const rows = [...results.querySelectorAll("[data-link]")];
  if (!rows.length) return;
  chosen = (place + rows.length) % rows.length;
  rows.forEach((row, number) => row.setAttribute("aria-selected", String(number === chosen)));
  rows[chosen].scrollIntoView({ block: "nearest" });
  query.setAttribute("aria-activedescendant", rows[chosen].id);
}

let waiting = 0;
query.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(search, 120); });
query.addEventListener("blur", close);
query.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown") { event.preventDefault(); choose(chosen + 1); }
  else if (event.key === "ArrowUp") { event.preventDefault(); choose(chosen < 0 ? -1 : chosen - 1); }
  else if (event.key === "Escape") close();
});
$(".search").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (results.hidden) await search();
  const rows = [...results.querySelectorAll("[data-link]")];
  if (rows.length) go((rows[chosen] || rows[0]).dataset.link);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.target.closest("input, select, textarea")) { event.preventDefault(); query.focus(); }
});

// ---- Routes ----

function route() {
  const [, page = "", id = ""] = location.hash.split("/");
  return { page: page || "home", id: decodeURIComponent(id) };
}

const views = { home, item: itemView, user: userView, visitor: visitorView, run: runView };

async function show() {
  if (location.hash === "#main") return;
  const turn = ++state.turn;
  const { page, id } = route();
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.page === page) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  let content;
  try { content = await (views[page] || home)(id); } catch (error) { content = [heading("Not found"), h("br"), problem(error)]; }
  if (turn !== state.turn || $("#token")) return;
  main.replaceChildren(...content.flat(2).filter(Boolean));
  const title = main.querySelector("h1");
  document.title = `${title.textContent} · prismrec`;
  window.scrollTo(0, 0);
  if (state.moved) title.focus();
  state.moved = true;
}

async function start() {
  try { state.run = await ask("run"); } catch (error) { if (!$("#token")) main.replaceChildren(problem(error)); return; }
  main.replaceChildren();
  $("#run-name").textContent = state.run.run;
  showVisitorCount();
  await show();
}

window.addEventListener("hashchange", show);
start();
