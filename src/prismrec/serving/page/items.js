"use strict";
// Items, lists of them with filters, and reasons.

const columns = () => [state.run.title, state.run.image].filter(Boolean);
const titleOf = (id) => String((state.run.title && described.get(id)?.[state.run.title]) || id);
const itemLink = (id) => `#/item/${encodeURIComponent(id)}`;
const userLink = (id) => `#/user/${encodeURIComponent(id)}`;

function hasPictures(run) {
  return Boolean(run.image) && (offline ? Object.keys(run.pictures).length > 0 : run.pictures);
}

function frame(id, large = false) {
  const letters = h("span", {}, initials(titleOf(id)));
  const box = h("div", { class: large ? "frame large" : "frame", "aria-hidden": "true" }, letters);
  if (hasPictures(state.run) && described.get(id)?.[state.run.image]) showPicture(box, letters, id, large);
  return box;
}

async function showPicture(box, letters, id, large) {
  const url = offline ? state.run.pictures[id] : `api/picture?${new URLSearchParams({ id })}`;
  if (!url) return;
  const image = h("img", { alt: "", loading: large ? "eager" : "lazy", decoding: "async" });
  image.addEventListener("load", () => letters.remove());
  image.addEventListener("error", () => image.remove());
  const token = recall("token");
  if (token && !offline) { // an <img> cannot send a token
    const response = await fetch(url, { headers: { Authorization: `Bearer ${token}` } }).catch(() => null);
    if (!response?.ok) return;
    image.src = URL.createObjectURL(await response.blob());
    image.addEventListener("load", () => URL.revokeObjectURL(image.src));
  } else image.src = url;
  box.append(image);
}

function addButton(id) {
  const isIn = state.visitor.includes(id);
  return h("button", {
    class: "add", type: "button", "data-add": id, "aria-pressed": String(isIn),
    "aria-label": `${titleOf(id)}: clicked by the visitor`, title: "Add to the visitor's clicks, or remove", onclick: () => toggle(id),
  }, isIn ? "✓" : "+");
}

function card(id, note) {
  return h("article", { class: "card" },
    h("a", { href: itemLink(id) }, frame(id), h("span", { class: "title", dir: "auto" }, titleOf(id))),
    note ? h("div", { class: "note" }, note) : null, addButton(id));
}

// ---- The visitor ----

function setVisitor(ids) {
  state.visitor = ids;
  keep("visitor", JSON.stringify(ids));
  $("#count").textContent = ids.length || "";
  for (const button of document.querySelectorAll("[data-add]")) {
    const isIn = ids.includes(button.dataset.add);
    button.setAttribute("aria-pressed", String(isIn));
    button.textContent = isIn ? "✓" : "+";
  }
}

function toggle(id) {
  const isIn = state.visitor.includes(id);
  setVisitor(isIn ? state.visitor.filter((each) => each !== id) : [...state.visitor, id]);
  tell(`${titleOf(id)} ${isIn ? "removed from" : "added to"} the visitor's clicks`);
  if (route().page === "visitor") updateVisitor();
}

// ---- Filters ----

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
  const { where, column, most, diversity, seen, k } = state.filters;
  const names = Object.keys(state.run.columns);
  let timer = 0;
  const change = (name, value) => {
    state.filters[name] = value;
    clearTimeout(timer);
    timer = setTimeout(apply, 250);
  };
  const field = (label, input, wide) => h("label", { class: wide ? "field wide" : "field" }, h("span", {}, label), input);
  const number = (name, attributes) => h("input", { ...attributes, name, required: true, value: state.filters[name], oninput: (event) => {
    if (event.target.value && !event.target.reportValidity()) return; // the browser says what is wrong
    if (event.target.value) change(name, event.target.value);
  } });
  const options = ["", ...names].map((name) => h("option", { value: name, selected: name === column }, name || "(no limit)"));
  const example = names.includes("price") ? "price < 20" : state.run.title ? `${state.run.title} like '%a%'` : "item_id like 'a%'";
  const isActive = Boolean(where || column || diversity > 0 || seen);
  const variety = h("output", {}, percent(diversity));
  const slider = number("diversity", { type: "range", min: 0, max: 1, step: 0.05 });
  slider.addEventListener("input", () => { variety.textContent = percent(slider.value); });
  return h("details", { class: "panel", open: isActive }, h("summary", {}, "Filters"), h("div", { class: "fields" },
    field(`Condition in SQL over ${["item_id", ...names].join(", ")}`,
      h("input", { value: where, placeholder: example, name: "where", spellcheck: "false", autocapitalize: "off", oninput: (event) => change("where", event.target.value) }), true),
    field("At most", number("most", { type: "number", min: 1, max: 1000 })),
    field("items with the same", h("select", { name: "column", onchange: (event) => change("column", event.target.value) }, options)),
    field("Length of the list", number("k", { type: "number", min: 1, max: 100 })),
    field(["Variety: ", variety], slider),
    h("label", { class: "check" }, h("input", { type: "checkbox", checked: seen, name: "seen", onchange: (event) => change("seen", event.target.checked) }), "Include items of the history")));
}

// ---- Lists and reasons ----

function rankedList(list, before = null) {
  if (!list.items.length) return empty("No item is left under these filters.");
  const best = Math.max(...list.items.map((each) => Math.abs(each.score)), 1e-9);
  const rows = list.items.map((each, place) => {
    const bar = h("span");
    bar.style.width = `${Math.max(0, (100 * each.score) / best)}%`;
    const score = h("div", { class: "score", title: `score ${rounded(each.score)}`, "aria-hidden": "true" }, bar);
    return h("li", { "data-item": each.item },
      h("span", { class: "rank" }, String(place + 1)), h("a", { href: itemLink(each.item), tabindex: "-1", "aria-hidden": "true" }, frame(each.item)),
      h("div", { class: "body" }, h("a", { class: "title", href: itemLink(each.item) }, h("bdi", {}, titleOf(each.item))), movement(each.item, place, before),
        score, h("div", { class: "why" })), addButton(each.item));
  });
  return h("ol", { class: "ranked" }, rows);
}

// What else is true of a list: why it is short, and that a file compares only its own items.
function remarks(answer) {
  const [list] = answer.lists;
  const texts = [];
  if (list.shorter && list.items.length) texts.push(`Only ${plural(list.items.length, "item")} can be recommended.`);
  if (answer.within) texts.push(`The best among the ${plural(answer.within, "item")} of this file.`);
  return texts.length ? h("p", { class: "muted small within" }, texts.join(" ")) : "";
}

function movement(id, place, before) {
  if (!before || !before.length) return null;
  const earlier = before.indexOf(id);
  if (earlier === place) return null;
  const text = earlier < 0 ? "new" : earlier > place ? `▲ ${earlier - place}` : `▼ ${place - earlier}`;
  return h("span", { class: "move" }, text);
}

const REASONS = 2; // for each item

// Fills the rows of one list, and of no other list that may have replaced it meanwhile.
async function showReasons(rows, note, list, who) {
  const items = list.items.map((each) => each.item);
  if (!items.length || list.popular) return;
  let answer;
  try {
    answer = await ask("explain", null, { ...who, items, k: REASONS });
    const clicked = new Set(answer.reasons.map((each) => each.clicked).filter((id) => !described.has(id)));
    await Promise.all([...clicked].map((id) => ask("item", { id }).catch(() => null))); // without a title, the id is shown
  } catch (error) {
    note.replaceChildren(problem(error));
    return;
  }
  for (const row of rows.children) {
    const reasons = answer.reasons.filter((each) => each.item === row.dataset.item && each.contribution > 0);
    row.querySelector(".why").replaceChildren(...reasons.slice(0, REASONS).map(reason));
  }
  note.textContent = answer.exact ? "Percentages are exact parts of the score." : "Percentages are approximate parts of the score.";
}

function reason(each, place) {
  const share = each.share > 1 ? `over ${percent(1)}` : each.share > 0 ? percent(each.share) : null;
  const details = [share, each.alike ? `alike in ${each.alike}` : null].filter(Boolean).join(", ");
  const link = h("a", { href: itemLink(each.clicked) }, frame(each.clicked), h("bdi", {}, titleOf(each.clicked)));
  return h("span", {}, place ? "and " : "because of ", link, details ? ` (${details})` : "");
}
