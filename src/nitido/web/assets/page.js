"use strict";
// What the page does in the browser beside Gradio: it never asks another host.

// ── Colours ────────────────────────────────────────────────────────────────────────────────────

// Gradio marks the body with a class; a report inside the page has an attribute for the same.
function nitidoDark() {
  return document.body.classList.contains("dark");
}

function nitidoTheme(element) {
  const name = () => {
    const button = element.querySelector("#theme");
    button.textContent = nitidoDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", `Switch to ${nitidoDark() ? "light" : "dark"} colours`);
    document.documentElement.style.colorScheme = nitidoDark() ? "dark" : "light";
    for (const frame of document.querySelectorAll("iframe.report")) nitidoDress(frame);
  };
  element.addEventListener("click", (event) => {
    if (event.target.closest("#theme")) document.body.classList.toggle("dark");
  });
  new MutationObserver(name).observe(document.body, { attributeFilter: ["class"] });
  name();
}

// ── The report inside the page ─────────────────────────────────────────────────────────────────

function nitidoDress(frame) {
  const root = frame.contentDocument?.documentElement;
  if (!root || !frame.contentDocument.body) return;
  root.dataset.embedded = "";
  root.dataset.theme = nitidoDark() ? "dark" : "light";
}

// A frame is as tall as what is in it, so that there is one scroll bar and not two.
function nitidoFrame(frame) {
  if (frame.dataset.watched) return;
  frame.dataset.watched = "1";
  const settle = () => {
    const inside = frame.contentDocument;
    if (!inside?.getElementById("play")) return;
    nitidoDress(frame);
    const fit = () => (frame.style.height = `${Math.ceil(inside.body.getBoundingClientRect().height)}px`);
    new frame.contentWindow.ResizeObserver(fit).observe(inside.body);
    fit();
    frame.classList.add("ready");
  };
  frame.addEventListener("load", settle);
  settle();
}

new MutationObserver(() => {
  for (const frame of document.querySelectorAll("iframe.report")) nitidoFrame(frame);
}).observe(document.documentElement, { childList: true, subtree: true });

// After work: bring what came of it into sight.
function nitidoReveal(name) {
  const result = document.querySelector(`#${name} :is(iframe.report, .card)`)?.closest("section, .block");
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  result?.scrollIntoView({ behavior: still ? "instant" : "smooth", block: "start" });
}

// ── The plan ───────────────────────────────────────────────────────────────────────────────────

function nitidoShow(slider) {
  const value = slider.valueAsNumber;
  const unit = slider.dataset.unit;
  const number = { "%": () => Math.round(100 * value), s: () => value.toFixed(2) }[unit]?.() ?? value;
  slider.nextElementSibling.textContent = `${number} ${unit}`.replace("-", "−");
}

// What differs from the preset stands in the HTML; the server sends back what a change means.
function nitidoPlan(element, trigger) {
  const fresh = (preset) => ({ preset, switches: {}, amounts: {} });
  const section = () => element.querySelector(".plan");
  const read = () => JSON.parse(section().dataset.choices);
  const send = (choices) => {
    section().dataset.choices = JSON.stringify(choices);
    trigger("input", { choices });
  };
  element.addEventListener("input", ({ target }) => {
    if (target.type === "range") nitidoShow(target);
  });
  element.addEventListener("change", ({ target }) => {
    const stage = target.closest("[data-stage]")?.dataset.stage;
    const next = read();
    if (target.name === "preset") return send(fresh(target.value));
    if (target.type === "range") next.amounts[stage] = target.valueAsNumber;
    if (target.name === "loop") {
      next.loop = target.checked;
      delete next.switches.ending; // a loop has no ends to mend
    } else if (target.type === "checkbox") {
      next.switches[stage] = target.checked;
      if (stage === "ending") next.loop = null;
    }
    send(next);
  });
  element.addEventListener("click", ({ target }) => {
    if (target.closest("[data-reset]")) send(fresh(read().preset));
  });
  // New HTML sets attributes; what a hand has touched keeps its own state until it is told.
  new MutationObserver(() => {
    for (const box of element.querySelectorAll("[type=checkbox], [type=radio]")) {
      box.checked = box.hasAttribute("checked");
    }
    for (const slider of element.querySelectorAll("[type=range]")) {
      if (slider !== document.activeElement) slider.value = slider.getAttribute("value");
    }
  }).observe(element, { attributes: true, childList: true, subtree: true, attributeFilter: ["checked", "value"] });
}

// ── A page that was loaded again ───────────────────────────────────────────────────────────────

// Gradio loads the page anew when its server comes back; what was on it is gone, and that is said.
function nitidoLost(element) {
  const key = "nitido-had-pieces";
  const space = element.querySelector(".lost");
  if (sessionStorage.getItem(key)) space.hidden = false;
  sessionStorage.removeItem(key);
  new MutationObserver(() => {
    if (!document.querySelector(".pieces")) return;
    sessionStorage.setItem(key, "1");
    space.hidden = true;
  }).observe(document.getElementById("pieces"), { childList: true, subtree: true });
}

// ── Pieces, clips, examples ────────────────────────────────────────────────────────────────────

function nitidoPieces(element, trigger) {
  element.addEventListener("click", ({ target }) => {
    const choose = target.closest("[data-choose]");
    const remove = target.closest("[data-remove]");
    if (choose) trigger("select", { number: Number(choose.dataset.choose) });
    if (remove) trigger("clear", { number: Number(remove.dataset.remove) });
  });
}

function nitidoClips(element, trigger) {
  element.addEventListener("click", ({ target }) => {
    const restore = target.closest("[data-restore]");
    if (restore) trigger("select", { number: Number(restore.dataset.restore) });
  });
  // One at a time.
  element.addEventListener("play", ({ target }) => {
    for (const other of element.querySelectorAll("audio")) if (other !== target) other.pause();
  }, true);
}

function nitidoExamples(element) {
  element.addEventListener("click", ({ target }) => {
    const example = target.closest("[data-prompt]");
    const field = document.querySelector("#prompt textarea");
    if (!example || !field) return;
    Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value").set.call(field, example.textContent);
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.focus();
  });
}
