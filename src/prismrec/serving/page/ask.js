"use strict";
// Questions to the server, or to the data of a page in one file.

const described = new Map(); // item id -> row of the item table
const offline = $("#offline") ? JSON.parse($("#offline").textContent) : null;
const PATIENCE = 30_000; // milliseconds; the server itself stops after ten seconds
const SLOW = 300; // milliseconds until the page shows that it waits

// ---- What stays until the tab is closed ----

const memory = new Map(); // where a browser allows no storage, such as in the preview of an attachment

function recall(name) {
  try { return sessionStorage.getItem(name); } catch { return memory.get(name) ?? null; }
}

function keep(name, value) {
  try { sessionStorage.setItem(name, value); } catch { memory.set(name, value); }
}

function recallVisitor() {
  try { return JSON.parse(recall("visitor") || "[]").filter((id) => typeof id === "string"); } catch { return []; }
}

const state = {
  run: null,
  isOutdated: false, // an answer came from another run
  visitor: recallVisitor(),
  filters: { where: "", column: "", most: 1, diversity: 0, seen: false, k: 10 },
  before: [], // the list before the last change of the visitor
};

// ---- Asking ----

class Refusal extends Error {
  constructor(message, status) {
    super(message);
    this.status = status; // 0 without an answer
  }
}

async function ask(path, query, body) {
  const url = `api/${path}${query ? `?${new URLSearchParams(query)}` : ""}`;
  if (offline) {
    const recorded = offline.answers[body ? `${url} ${JSON.stringify(body)}` : url];
    return remember(recorded || offlineAnswer(offline, path, query, body));
  }
  const end = beginWaiting();
  try {
    return remember(await fetched(url, body));
  } finally {
    end();
  }
}

async function fetched(url, body) {
  const headers = {};
  const token = recall("token");
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body) headers["Content-Type"] = "application/json";
  const options = { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body) };
  let response;
  try {
    response = await fetch(url, { ...options, signal: AbortSignal.timeout(PATIENCE) });
  } catch (error) {
    const isLate = error.name === "TimeoutError";
    throw new Refusal(isLate ? "The server takes too long to answer." : "The server does not answer. Is it still running?", 0);
  }
  if (response.status === 401) {
    askForToken(Boolean(token));
    throw new Refusal("This server asks for a token.", 401);
  }
  let answer = null;
  try { answer = await response.json(); } catch { /* no JSON, such as the error page of a proxy */ }
  if (!response.ok) throw new Refusal(answer?.detail || `The server answers with the error ${response.status}.`, response.status);
  if (answer === null) throw new Refusal("The answer is not from prismrec. Is something else running at this address?", 0);
  noticeRun(response.headers.get("X-Prismrec-Run"));
  return answer;
}

function remember(answer) {
  const entries = [...(answer.items || []), ...(answer.history || []), ...(answer.lists || []).flatMap((list) => list.items)];
  if (answer.item && answer.fields) entries.push(answer);
  for (const entry of entries) if (entry.fields) described.set(entry.item, { ...described.get(entry.item), ...entry.fields });
  return answer;
}

// Another run may replace the one whose title column, columns and metrics the page knows.
function noticeRun(name) {
  if (!state.run || !name || name === state.run.run) return;
  state.isOutdated = true;
  $("#outdated").hidden = false;
}

let waiting = 0, slow = 0;

function beginWaiting() {
  if (waiting++ === 0) slow = setTimeout(() => document.body.classList.add("busy"), SLOW);
  return () => {
    if (--waiting) return;
    clearTimeout(slow);
    document.body.classList.remove("busy");
  };
}

function problem(error) {
  const canTry = error.status === 0 || error.status >= 500;
  const again = canTry ? h("button", { class: "button", type: "button", onclick: start }, "Try again") : null;
  return h("div", { class: "problem", role: "alert" }, h("p", {}, error.message), again);
}

function askForToken(wasWrong) {
  if ($("#token")) return; // several questions were asked at once
  const field = h("input", { type: "password", id: "token", autocomplete: "off", required: true });
  const wrong = h("div", { role: "alert" });
  const complain = (text) => wrong.replaceChildren(h("p", { class: "problem" }, text));
  const enter = (event) => {
    event.preventDefault();
    const token = field.value.trim();
    if (!/^[\x21-\x7e]+$/.test(token)) return complain("A token has no blanks and no letters beyond ASCII.");
    keep("token", token);
    main.replaceChildren();
    return start();
  };
  main.replaceChildren(heading("This server needs a token"),
    h("p", { class: "lead" }, "Whoever runs the server has it. The page keeps it until you close this tab."),
    h("form", { onsubmit: enter, class: "token" }, wrong, h("label", { class: "field", for: "token" }, h("span", {}, "Token"), field),
      h("button", { class: "button main" }, "Enter")));
  if (wasWrong) complain("The server does not accept this token.");
  field.focus();
}
