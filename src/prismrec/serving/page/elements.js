"use strict";
// Elements and words of the page. Text of users and items is only ever inserted as text.

const $ = (selector) => document.querySelector(selector);
const main = $("#main");

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

const heading = (...content) => h("h1", { tabindex: "-1", dir: "auto" }, content);

function section(title, note, ...content) {
  const head = h("div", { class: "head" }, h("h2", {}, title), note ? h("span", { class: "muted small" }, note) : null);
  return h("section", {}, head, content);
}

const empty = (text) => h("p", { class: "empty" }, text);
const tell = (text) => { $("#status").textContent = text; };

const LONG = 600; // letters of a text that is cut until somebody wants to read all of it

function longText(text) {
  const body = h("p", { class: "prose", dir: "auto" }, text);
  if (text.length <= LONG) return [body];
  body.classList.add("cut");
  const more = h("button", { class: "link", type: "button", "aria-expanded": "false" }, "Show all of it");
  more.addEventListener("click", () => {
    const isCut = body.classList.toggle("cut");
    more.setAttribute("aria-expanded", String(!isCut));
    more.textContent = isCut ? "Show all of it" : "Show less";
  });
  return [body, more];
}

// ---- Words ----

const plural = (count, one) => `${count.toLocaleString("en")} ${one}${count === 1 ? "" : "s"}`;
const percent = (share) => (share > 0 && share < 0.005 ? "under 1\u00a0%" : `${Math.round(100 * share)}\u00a0%`);
const rounded = (value) => (Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6))));

// A value of the item table.
function asText(value) {
  if (typeof value === "number") return rounded(value);
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

// The first two letters; a letter may have several code points, as in many emoji.
function initials(text) {
  const start = text.trim().slice(0, 60);
  const letters = Intl.Segmenter ? Array.from(new Intl.Segmenter().segment(start), (each) => each.segment) : Array.from(start);
  return letters.slice(0, 2).join("").toUpperCase();
}
