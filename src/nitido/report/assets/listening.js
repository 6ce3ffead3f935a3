"use strict";

const test = JSON.parse(document.getElementById("test").textContent);
const at = (id) => document.getElementById(id);
const element = (tag, properties = {}, ...inside) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...inside);
  return made;
};

// Chance: drawn from seed and listener, so that it can be drawn again.

function chance(text) {
  let state = 2166136261; // FNV-1a
  for (const byte of new TextEncoder().encode(text)) {
    state = Math.imul(state ^ byte, 16777619);
  }
  return () => { // mulberry32
    state = (state + 0x6d2b79f5) | 0;
    let word = Math.imul(state ^ (state >>> 15), 1 | state);
    word = (word + Math.imul(word ^ (word >>> 7), 61 | word)) ^ word;
    return ((word ^ (word >>> 14)) >>> 0) / 4294967296;
  };
}

function shuffled(items, random) {
  const order = [...items];
  for (let last = order.length - 1; last > 0; last -= 1) {
    const other = Math.floor(random() * (last + 1));
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
}

// What is going to be asked: data, drawn before the first sound.

function drawSession(listener) {
  const random = chance(`${test.seed}/${listener}`);
  const tasks = [];
  for (const pair of shuffled(test.pairs, random)) {
    const [a, b] = shuffled(pair, random); // which is which is not told, and stays for all trials
    for (let trial = 0; trial < test.trials; trial += 1) {
      const x = random() < 0.5 ? a : b; // independent: with equal counts the last could be worked out
      tasks.push({ kind: "abx", excerpt: trial % test.excerpts.length, pair: [a, b], x });
    }
  }
  if (test.conditions.length > 2) {
    for (const excerpt of shuffled(test.excerpts.keys(), random)) {
      tasks.push({ kind: "rating", excerpt, order: shuffled(test.conditions, random) });
    }
  }
  return tasks;
}

// The player: all versions run in step, and one of them is heard.

class Player {
  constructor() {
    this.context = new AudioContext({ sampleRate: 48000, latencyHint: "interactive" });
    this.meter = this.context.createAnalyser(); // nothing on the page reads it; tests do
    this.meter.connect(this.context.destination);
    this.decoded = new Map();
    this.voices = [];
    this.playing = false;
  }

  async decode(excerpt, name) {
    const key = `${excerpt}/${name}`;
    if (!this.decoded.has(key)) {
      const bytes = Uint8Array.from(atob(test.excerpts[excerpt].flac[name]), (c) => c.charCodeAt(0));
      this.decoded.set(key, this.context.decodeAudioData(bytes.buffer));
    }
    return this.decoded.get(key);
  }

  async load(excerpt, names) {
    this.stop();
    this.buffers = await Promise.all(names.map((name) => this.decode(excerpt, name)));
    this.seconds = Math.min(...this.buffers.map((buffer) => buffer.duration));
    this.region = [0, this.seconds];
    this.offset = 0;
    this.heard = 0;
  }

  get position() {
    if (!this.playing) return this.offset;
    const [from, to] = this.region;
    const reached = this.offset + this.context.currentTime - this.began;
    return reached < to ? reached : from + ((reached - from) % (to - from));
  }

  async play() {
    this.playing = true;
    this.began = this.context.currentTime;
    await this.context.resume();
    if (!this.playing) return;
    const began = this.context.currentTime + 0.02;
    this.voices = this.buffers.map((buffer, index) => {
      const source = new AudioBufferSourceNode(this.context, {
        buffer, loop: true, loopStart: this.region[0], loopEnd: this.region[1],
      });
      const gain = new GainNode(this.context, { gain: index === this.heard ? 1 : 0 });
      source.connect(gain).connect(this.meter);
      source.start(began, this.offset);
      return { source, gain };
    });
    this.began = began;
  }

  stop() {
    if (!this.playing) return;
    this.offset = Math.max(0, this.position);
    const { currentTime } = this.context;
    for (const { source, gain } of this.voices) {
      gain.gain.setTargetAtTime(0, currentTime, 0.003);
      source.stop(currentTime + 0.03);
    }
    this.playing = false;
  }

  seek(seconds) {
    const playing = this.playing;
    this.stop();
    const [from, to] = this.region;
    this.offset = seconds >= from && seconds < to ? seconds : from;
    if (playing) this.play();
  }

  hear(index) {
    const { currentTime } = this.context;
    this.heard = index;
    this.voices.forEach(({ gain }, voice) => { // 10 ms from one to the other
      gain.gain.cancelScheduledValues(currentTime);
      gain.gain.setValueAtTime(gain.gain.value, currentTime);
      gain.gain.linearRampToValueAtTime(voice === index ? 1 : 0, currentTime + 0.01);
    });
  }
}

// The session.

let player, tasks, task, listener, began, number = -1;
const results = { abx: [], ratings: [] };

function show(id) {
  for (const name of ["start", "trial", "end"]) at(name).hidden = name !== id;
}

async function next() {
  if (number >= 0) keep();
  number += 1;
  player.stop();
  if (number === tasks.length) return finish();
  const coming = { ...tasks[number], switches: 0 };
  coming.names = coming.kind === "abx" ? [...coming.pair, coming.x]
    : test.reference ? ["reference", ...coming.order] : coming.order;
  at("next").disabled = true; // also while the sound is made ready
  await player.load(coming.excerpt, coming.names);
  task = { ...coming, began: performance.now() };
  at("progress").textContent = `${number + 1} of ${tasks.length}`;
  at("answers").hidden = task.kind !== "abx";
  task.kind === "abx" ? askAbx() : askRating();
  drawRegion();
  mark(0);
  show("trial");
  at("question").focus();
}

function versionButton(label, index, key) {
  const button = element("button", { type: "button", textContent: label });
  button.setAttribute("aria-pressed", "false");
  button.setAttribute("aria-keyshortcuts", key);
  button.addEventListener("click", () => choose(index));
  return button;
}

function askAbx() {
  at("question").textContent = "X is either A or B. Which?";
  at("versions").className = "abx";
  const labels = ["A", "B", "X"];
  task.buttons = labels.map((label, index) => versionButton(label, index, label.toLowerCase()));
  at("versions").replaceChildren(...task.buttons);
  const answers = task.pair.map((name, index) => {
    const key = String(index + 1);
    const button = element("button", { type: "button", textContent: `X is ${labels[index]}` });
    button.setAttribute("aria-pressed", "false");
    button.setAttribute("aria-keyshortcuts", key);
    button.addEventListener("click", () => {
      task.answer = name;
      answers.forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
      at("next").disabled = false;
    });
    return button;
  });
  at("answers").querySelector("div").replaceChildren(...answers);
  task.keys = { a: 0, b: 1, x: 2 };
  task.answerKeys = { 1: answers[0], 2: answers[1] };
  at("keys").textContent = "Keys: A, B, X listen · 1 X is A · 2 X is B · Enter next · space play "
    + "or pause · arrows seek · [ ] \\ loop";
}

function askRating() {
  at("question").textContent = test.reference
    ? "How close is each to the reference? One of them is the reference itself."
    : "How good does each sound?";
  at("versions").className = "";
  const shift = test.reference ? 1 : 0;
  task.keys = {};
  task.scores = {};
  const scale = element("div", { className: "rated scale" }, element("i"),
    element("span", {}, ...["bad", "poor", "fair", "good", "excellent"].map(
      (word) => element("i", { textContent: word }))));
  const rows = task.order.map((name, place) => {
    const label = String(place + 1);
    const button = versionButton(`Play ${label}`, place + shift, label);
    const output = element("output", { textContent: "–" });
    const slider = element("input", { type: "range", min: 0, max: 100, step: 1, value: 50 });
    slider.setAttribute("aria-label", `Rating of ${label}, 0 bad to 100 excellent`);
    slider.addEventListener("focus", () => player.heard === place + shift || choose(place + shift));
    const rate = () => {
      task.scores[name] = slider.valueAsNumber;
      output.textContent = slider.value;
      at("next").disabled = Object.keys(task.scores).length < task.order.length;
    };
    slider.addEventListener("input", rate);
    slider.addEventListener("click", rate); // where it stands is a rating too
    task.keys[label] = place + shift;
    return [button, element("div", { className: "rated" }, button, slider, output)];
  });
  task.buttons = rows.map(([button]) => button);
  const lines = rows.map(([, row]) => row);
  if (test.reference) {
    const button = versionButton("Reference", 0, "0");
    task.buttons.unshift(button);
    task.keys[0] = 0;
    lines.unshift(element("div", { className: "rated" }, button));
  }
  at("versions").replaceChildren(...lines.slice(0, shift), scale, ...lines.slice(shift));
  at("keys").textContent = `Keys: ${test.reference ? "0 reference · " : ""}1–${task.order.length} `
    + "listen · ↑ ↓ rate what you hear · Enter next · space play or pause · arrows seek · [ ] \\ loop";
}

function mark(index) {
  task.buttons.forEach((button, place) => button.setAttribute("aria-pressed", String(place === index)));
}

function choose(index) {
  task.switches += 1;
  player.hear(index);
  mark(index);
  if (!player.playing) player.play();
}

function keep() {
  const { excerpt, switches } = task;
  const seconds = Math.round((performance.now() - task.began) / 100) / 10;
  if (task.kind === "abx") {
    const { pair, x, answer } = task;
    results.abx.push({ excerpt, pair, x, answer, correct: answer === x, seconds, switches });
  } else {
    results.ratings.push({ excerpt, order: task.order, scores: task.scores, seconds, switches });
  }
}

function finish() {
  at("progress").textContent = "Done";
  show("end");
  at("end").querySelector("h2").focus();
}

function save() {
  const content = {
    nitido_listening_test: test.format, test: test.id, title: test.title, seed: test.seed,
    reference: test.reference, listener, began, ended: new Date().toISOString(), ...results,
  };
  const file = new Blob([JSON.stringify(content, null, 2)], { type: "application/json" });
  const name = listener.replace(/[^\p{L}\p{N}_-]+/gu, "-");
  const link = element("a", { href: URL.createObjectURL(file), download: `listening-${name}.json` });
  link.click();
  summarise();
}

function summarise() { // only after saving: knowing the outcome would change the next one
  const rows = test.pairs.map((pair) => {
    const trials = results.abx.filter((trial) => pair.every((name) => trial.pair.includes(name)));
    const right = trials.filter((trial) => trial.correct).length;
    return [`ABX, ${pair.join(" and ")}`, `${right} of ${trials.length} right`];
  });
  for (const name of results.ratings.length ? test.conditions : []) {
    const scores = results.ratings.map((rating) => rating.scores[name]);
    const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length;
    rows.push([`Rating, ${name}`, mean.toFixed(0)]);
  }
  at("summary").tBodies[0].replaceChildren(...rows.map(([what, value]) => element("tr", {},
    element("th", { scope: "row", textContent: what }), element("td", { textContent: value }))));
  at("summary").hidden = false;
}

// The loop, the seek bar, the keys.

const clock = (seconds) => `${seconds.toFixed(1)} s`;

function drawRegion() {
  const [from, to] = player.region;
  at("seek").max = player.seconds;
  at("loop").textContent = from > 0 || to < player.seconds ? `${clock(from)} – ${clock(to)}` : "";
}

function setRegion(from, to) {
  if (to - from < 0.2) return;
  const { position } = player;
  player.region = [from, to];
  player.seek(position);
  drawRegion();
}

const toggle = () => (player.playing ? player.stop() : choose(player.heard));
const step = (seconds) => player.seek(Math.max(0, Math.min(player.seconds, player.position + seconds)));

function rateHeard(change) {
  const place = player.heard - (test.reference ? 1 : 0);
  const slider = at("versions").querySelectorAll("input")[place];
  if (!slider) return;
  slider.valueAsNumber += change;
  slider.dispatchEvent(new Event("input"));
}

function onKey(event) {
  if (at("trial").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
  const onSlider = event.target.type === "range";
  const key = event.key.toLowerCase();
  const actions = {
    " ": toggle,
    enter: () => at("next").disabled || next(),
    "[": () => setRegion(player.position, player.region[1]),
    "]": () => setRegion(player.region[0], player.position),
    "\\": () => setRegion(0, player.seconds),
    ...(onSlider ? {} : { arrowleft: () => step(-0.5), arrowright: () => step(0.5) }),
    ...(onSlider || task.kind === "abx" ? {}
      : { arrowup: () => rateHeard(1), arrowdown: () => rateHeard(-1) }),
    ...Object.fromEntries(Object.entries(task.keys).map(([name, index]) => [name, () => choose(index)])),
    ...Object.fromEntries(Object.entries(task.answerKeys ?? {}).map(
      ([name, button]) => [name, () => button.click()])),
  };
  const pressed = event.target.tagName === "BUTTON" && (key === "enter" || key === " ");
  if (!Object.hasOwn(actions, key) || pressed) return; // a button does what it says
  event.preventDefault();
  actions[key]();
}

function frame() {
  if (task) {
    const position = Math.max(0, player.position);
    if (document.activeElement !== at("seek") || player.playing) at("seek").value = position;
    at("time").textContent = `${clock(position)} of ${clock(player.seconds)}`;
    at("play").textContent = player.playing ? "Pause" : "Play";
  }
  requestAnimationFrame(frame);
}

async function playLevel() {
  player ??= new Player();
  if (player.playing) player.stop();
  else {
    await player.load(0, [test.pairs[0][0]]);
    await player.play();
  }
  at("level").textContent = player.playing ? "Stop" : "Play to set the volume";
}

function start(event) {
  event.preventDefault();
  listener = at("listener").value.trim();
  if (!listener) return;
  player ??= new Player();
  tasks = drawSession(listener);
  began = new Date().toISOString();
  next();
}

const trials = test.pairs.length * test.trials;
at("what").textContent = `First ${trials} × X is A or B: which of the two? Then ${test.excerpts.length} × `
  + `${test.conditions.length} versions of a passage side by side, to be rated.`;
at("about").addEventListener("submit", start);
at("level").addEventListener("click", playLevel);
at("play").addEventListener("click", toggle);
at("seek").addEventListener("input", () => player.seek(at("seek").valueAsNumber));
at("from").addEventListener("click", () => setRegion(player.position, player.region[1]));
at("to").addEventListener("click", () => setRegion(player.region[0], player.position));
at("all").addEventListener("click", () => setRegion(0, player.seconds));
at("next").addEventListener("click", next);
at("save").addEventListener("click", save);
document.addEventListener("keydown", onKey);
addEventListener("beforeunload", (event) => {
  if (number >= 0 && at("summary").hidden) event.preventDefault();
});
requestAnimationFrame(frame);
show("start");
