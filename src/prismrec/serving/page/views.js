"use strict";
// The views of the first page, an item, a user, and the visitor.

async function homeView() {
  const found = await ask("search", { q: "", limit: 24 });
  const users = found.users.slice(0, 12).map((each) => h("li", {}, h("a", { class: "chip", href: userLink(each.user) }, h("bdi", {}, each.user), h("span", { class: "muted" }, String(each.clicks)))));
  const facts = state.run.facts;
  const learned = `From ${plural(facts["training interactions"], "click")} of ${plural(facts.users, "user")} on ${plural(facts.items, "item")} of the data set ${facts.data}.`;
  const held = offline ? ` This file holds ${plural(offline.set.items.length, "item")} and ${plural(offline.set.users.length, "user")} of them.` : "";
  return [heading(`What ${facts.model} learned`),
    h("p", { class: "lead" }, `${learned}${held} Open an item or a user, or click + on items to try the model as a new visitor.`),
    section("Popular items", null, h("div", { class: "grid" }, found.items.map((each) => card(each.item)))),
    section("Active users", "with their numbers of training clicks", h("ul", { class: "chips" }, users))];
}

// ---- An item ----

const ALIKE = { image: "Looks alike", text: "Reads alike", audio: "Sounds alike", acoustic: "Sounds alike" };

async function itemView(id) {
  const item = await ask("item", { id });
  const hidden = [state.run.title, state.run.image, "description"];
  const shown = Object.entries(item.fields).filter(([name, value]) => !hidden.includes(name) && value !== null && value !== "");
  const facts = [["id", id], ...shown.map(([name, value]) => [name, asText(value)]), ["training clicks", String(item.clicks)]];
  const title = heading(titleOf(id));
  if (titleOf(id).length > 90) title.classList.add("long");
  const description = item.fields.description ? longText(asText(item.fields.description)) : [];
  const rows = facts.map(([name, value]) => [h("dt", {}, name), h("dd", { dir: "auto" }, value)]);
  const top = h("div", { class: "item" }, hasPictures(state.run) ? frame(id, true) : null,
    h("div", {}, title, description, h("dl", { class: "facts" }, rows), visitorButton(id)));
  const ways = [["model", "Similar", "by what the model learned; the numbers are cosines"],
    ...item.alike.map((each) => [each, ALIKE[each] || `Alike in ${each}`, `by ${each} features`])];
  return [top, ways.map(([by, name, note]) => section(name, note, similarRow(id, by)))];
}

function visitorButton(id) {
  const isIn = state.visitor.includes(id);
  const words = isIn ? "See the visitor who clicked it" : state.visitor.length ? "Let the visitor click it" : "Start a visitor from it";
  return h("button", { class: "button main", type: "button", onclick: () => { if (!state.visitor.includes(id)) toggle(id); go("#/visitor"); } }, words);
}

function similarRow(id, by) {
  const strip = h("div", { class: "strip", "data-by": by });
  ask("similar", null, { items: [id], by, k: 12, columns: columns() }).then(
    (answer) => {
      const cards = answer.lists[0].items.map((each) => card(each.item, each.score.toFixed(2)));
      strip.replaceChildren(...(cards.length ? cards : [empty("No other item can be compared.")]));
    },
    (error) => strip.replaceChildren(problem(error)));
  return strip;
}

// ---- A user ----

async function userView(id) {
  const user = await ask("user", { id, limit: 200 });
  const place = h("div");
  const note = h("div", { class: "muted small" });
  let asked = 0;
  const apply = async () => {
    const turn = ++asked;
    try {
      const answer = await ask("recommend", null, { users: [id], ...filterBody() });
      if (turn !== asked) return;
      const [list] = answer.lists;
      const rows = rankedList(list);
      place.replaceChildren(rows, remarks(answer));
      note.textContent = list.popular ? "The model knows nothing of this user. These are popular items." : "";
      tell(`${plural(list.items.length, "item")} recommended`);
      await showReasons(rows, note, list, { user: id });
    } catch (error) { if (turn === asked) place.replaceChildren(problem(error)); }
  };
  const shown = user.history.length;
  const count = shown < user.clicks ? `${shown} of ${plural(user.clicks, "item")}` : plural(user.clicks, "item");
  const cards = h("div", { class: "grid dense" }, shown ? user.history.map((each) => card(each.item)) : empty("Nothing."));
  apply();
  return [heading("User ", h("bdi", {}, id)), h("p", { class: "lead" }, user.trained ? "What this user clicked, and what the model recommends." : "This user has no training interaction."),
    h("div", { class: "beside" }, section("History", count, cards), section("Recommended", null, filterPanel(apply), place, note))];
}

// ---- The visitor ----

async function visitorView() {
  const found = h("div", { class: "grid dense", id: "candidates" });
  let timer = 0, asked = 0;
  const find = async () => {
    const turn = ++asked;
    try {
      const answer = await ask("search", { q: field.value.slice(0, 200), kind: "items", limit: 16 });
      if (turn !== asked) return;
      found.replaceChildren(...(answer.items.length ? answer.items.map((each) => card(each.item)) : [empty("Nothing found.")]));
    } catch (error) { if (turn === asked) found.replaceChildren(problem(error)); }
  };
  const field = h("input", { type: "search", id: "more", placeholder: "Search items", spellcheck: "false", oninput: () => { clearTimeout(timer); timer = setTimeout(find, 150); } });
  const clear = h("button", { class: "link", type: "button", id: "clear", hidden: true, onclick: () => { setVisitor([]); updateVisitor(); field.focus(); } }, "Start over");
  const clicked = section("Clicked", clear, h("div", { id: "lost", class: "small" }), h("div", { class: "grid dense", id: "clicked" }));
  const more = section("Items to click", null, h("label", { class: "field find", for: "more" }, h("span", { class: "hidden" }, "Search items to click"), field), found);
  const right = section("Recommended now", null, filterPanel(updateVisitor), h("div", { id: "now" }), h("div", { id: "note", class: "muted small" }));
  state.before = [];
  find();
  setTimeout(updateVisitor);
  return [heading("A new visitor"), h("p", { class: "lead" }, "The model does not know this visitor. Click a few items and see what it recommends. The clicks stay in this browser tab."),
    h("div", { class: "beside" }, h("div", {}, clicked, more), right)];
}

let visitorTurn = 0;

async function updateVisitor() {
  const now = $("#now"), note = $("#note");
  if (!now) return;
  const turn = ++visitorTurn;
  await describeVisitor();
  if (turn !== visitorTurn || !$("#clicked")) return;
  $("#clear").hidden = !state.visitor.length;
  $("#clicked").replaceChildren(...(state.visitor.length ? state.visitor.map((id) => card(id)) : [empty("Nothing yet.")]));
  note.textContent = "";
  if (!state.visitor.length) {
    now.replaceChildren(empty("Click an item to get recommendations."));
    state.before = [];
    return;
  }
  try {
    const answer = await ask("recommend", null, { histories: [state.visitor], ...filterBody() });
    if (turn !== visitorTurn) return;
    const rows = rankedList(answer.lists[0], state.before);
    now.replaceChildren(rows, remarks(answer));
    state.before = answer.lists[0].items.map((each) => each.item);
    tell(`Recommended first: ${state.before.slice(0, 3).map(titleOf).join(", ")}`);
    await showReasons(rows, note, answer.lists[0], { history: state.visitor });
  } catch (error) { if (turn === visitorTurn) now.replaceChildren(problem(error)); }
}

// Titles of clicked items; those that the run does not have are removed, and named.
async function describeVisitor() {
  const lost = [];
  await Promise.all(state.visitor.filter((id) => !described.has(id)).map((id) => ask("item", { id }).catch((error) => {
    if (offline || error.status === 404) lost.push(id);
  })));
  if (!lost.length) return;
  setVisitor(state.visitor.filter((id) => !lost.includes(id)));
  $("#lost")?.replaceChildren(h("p", { class: "muted" }, `Removed, because ${offline ? "this file" : "the run"} does not have them: ${lost.join(", ")}`));
}
