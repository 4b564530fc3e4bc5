"use strict";
// From the address to a view: #/, #/item/ID, #/user/ID, #/visitor, #/run.

const VIEWS = { home: homeView, item: itemView, user: userView, visitor: visitorView, run: runView };
const positions = new Map(); // address -> where it was scrolled to, for the way back
let showing = 0, isForward = true, hasMoved = false;
let fixed = null; // the view, where a browser does not let the address change, as in some previews of attachments

const address = () => fixed ?? location.hash;

function route() {
  const [, page = "", ...rest] = address().split("/");
  const id = rest.join("/");
  try { return { page: page || "home", id: decodeURIComponent(id) }; } catch { return { page, id }; } // typed by hand
}

function go(link) {
  isForward = true;
  leaveSearch();
  if (address() === link) { show(); return; } // also after an error
  location.hash = link;
  if (location.hash === link) return; // shown when the browser says that it has changed
  fixed = link;
  show();
}

async function show() {
  const turn = ++showing;
  const { page, id } = route();
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.page === page) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  let content;
  try {
    if (!state.run || state.isOutdated) await loadRun();
    content = await (VIEWS[page] || homeView)(id);
  } catch (error) {
    const isMissing = error.status === 404;
    const explained = isMissing ? new Refusal(`The run has no ${page} ${id}.`, error.status) : error;
    content = [heading(isMissing ? "Not found" : "This did not work"), problem(explained)];
  }
  if (turn !== showing || $("#token")) return;
  main.replaceChildren(...content.flat(2).filter(Boolean));
  const title = main.querySelector("h1");
  document.title = `${title.textContent} · prismrec`;
  window.scrollTo(0, isForward ? 0 : positions.get(address()) || 0);
  isForward = false;
  if (hasMoved) title.focus({ preventScroll: true });
  hasMoved = true;
}

async function loadRun() {
  state.run = await ask("run");
  state.isOutdated = false;
  described.clear();
  $("#outdated").hidden = true;
  $("#run-name").textContent = nameOf(state.run.run);
  document.body.classList.toggle("plain", !hasPictures(state.run));
}

function nameOf(run) {
  try { return decodeURIComponent(run); } catch { return run; }
}

function start() {
  state.isOutdated = true;
  setVisitor(state.visitor);
  return show();
}

history.scrollRestoration = "manual";
window.addEventListener("hashchange", (event) => {
  positions.set(new URL(event.oldURL).hash, window.scrollY);
  fixed = null;
  show();
});
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='#/']");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return; // into another tab
  event.preventDefault();
  go(link.getAttribute("href"));
});
$(".skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); }); // the address stays that of the view
$("#outdated button").addEventListener("click", start);
start();
