"use strict";
// The search field: a combobox over items and users.

const query = $("#query"), results = $("#found");
let searching = 0, chosen = -1, searched = "", timer = 0;

async function search() {
  clearTimeout(timer);
  const turn = ++searching;
  const text = query.value.trim().slice(0, 200);
  if (!text) { closeResults(); return; }
  let content;
  try {
    const answer = await ask("search", { q: text, limit: 8 });
    const rows = [...answer.items.map((each) => option(itemLink(each.item), "item", titleOf(each.item), frame(each.item))),
      ...answer.users.map((each) => option(userLink(each.user), "user", each.user))];
    rows.forEach((row, place) => { row.id = `found-${place}`; });
    content = rows.length ? rows : [h("li", { class: "none", role: "option", "aria-selected": "false", "aria-disabled": "true" }, "Nothing found.")];
    if (turn === searching) tell(plural(rows.length, "result"));
  } catch (error) {
    content = [h("li", { class: "none", role: "option", "aria-selected": "false", "aria-disabled": "true" }, error.message)];
    if (turn === searching) tell(error.message);
  }
  if (turn !== searching) return;
  chosen = -1;
  searched = text;
  results.replaceChildren(...content);
  results.scrollTop = 0;
  openResults();
}

function option(link, kind, text, picture = null) {
  const hold = (event) => event.preventDefault(); // the field keeps the focus
  return h("li", { role: "option", "aria-selected": "false", "data-link": link, onmousedown: hold, onclick: () => go(link) },
    picture, h("span", { class: "grow", dir: "auto" }, text), h("span", { class: "muted small" }, kind));
}

function openResults() {
  results.hidden = false;
  query.setAttribute("aria-expanded", "true");
  query.removeAttribute("aria-activedescendant");
}

function closeResults() {
  results.hidden = true;
  chosen = -1;
  query.setAttribute("aria-expanded", "false");
  query.removeAttribute("aria-activedescendant");
}

function leaveSearch() {
  clearTimeout(timer);
  searching++;
  query.value = "";
  closeResults();
}

function choose(place) {
  const rows = [...results.querySelectorAll("[data-link]")];
  if (!rows.length) return;
  chosen = (place + rows.length) % rows.length;
  rows.forEach((row, number) => row.setAttribute("aria-selected", String(number === chosen)));
  rows[chosen].scrollIntoView({ block: "nearest" });
  query.setAttribute("aria-activedescendant", rows[chosen].id);
}

query.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(search, 120); });
query.addEventListener("blur", closeResults);
query.addEventListener("keydown", async (event) => {
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    if (results.hidden) await search();
    choose(event.key === "ArrowDown" ? chosen + 1 : chosen < 0 ? -1 : chosen - 1);
  } else if (event.key === "Escape") closeResults();
});
$(".search").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (results.hidden || searched !== query.value.trim().slice(0, 200)) await search(); // not the results of an earlier text
  const rows = [...results.querySelectorAll("[data-link]")];
  if (rows.length && !results.hidden) go((rows[chosen] || rows[0]).dataset.link);
});
document.addEventListener("keydown", (event) => {
  const isTyping = event.target.closest("input, select, textarea");
  if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) { event.preventDefault(); query.focus(); }
});
