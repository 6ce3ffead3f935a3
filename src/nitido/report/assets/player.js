"use strict";
// Plays several sounds that run side by side, and lets through the one that is chosen.
//
//   source ─ fade ─ level ┐
//   source ─ fade ─ level ┼─ volume ─ out
//   source ─ fade ─ level ┘
//
// All sources start at the same moment, so a switch is only a cross-fade of levels: no gap, no shift.
(() => {
  const FADE_SECONDS = 0.01;
  const AHEAD_SECONDS = 0.03; // a start is planned so far ahead, to be on time on every track
  const DRAG_PIXELS = 6; // less is a click
  const LOOP_MIN_SECONDS = 0.1;

  const byId = (id) => document.getElementById(id);
  let page = { tracks: [], seconds: 0, offset: 0, sampleRate: 48000 };
  let seconds = 0;
  let tracks = [];
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const clock = (at) => {
    const tenths = Math.round(at * 10);
    return `${Math.floor(tenths / 600)}:${((tenths % 600) / 10).toFixed(1).padStart(4, "0")}`;
  };

  // ── Sound ────────────────────────────────────────────────────────────────────────────────────

  let context = null;
  let volume = null;
  let levels = [];
  let buffers = [];
  let running = null; // the sources that play now, all started together
  let resting = 0; // where the next start will be
  let chosen = 0;
  let loop = false;
  let region = null; // [start, end] in seconds; null for the whole piece
  let boosted = true;
  let byHand = false; // whether the track was chosen by hand
  let loads = 0;

  async function decode(sound) {
    const decoder = new OfflineAudioContext(1, 1, sound.sampleRate);
    const made = [];
    for (const track of sound.tracks) {
      made.push(await decoder.decodeAudioData(track.content ?? bytes(track.audio).buffer));
      track.audio = track.content = ""; // the memory is better used
    }
    return made;
  }

  // Take other sounds; what plays goes on with them from the same place of the piece.
  async function load(sound) {
    const turn = ++loads;
    const made = await decode(sound);
    if (turn !== loads) return; // others came meanwhile
    const when = (context?.currentTime ?? 0) + AHEAD_SECONDS;
    const at = page.offset + position(when) - (sound.offset ?? 0);
    const [old, tint] = [running, tracks[chosen]?.tint];
    running = null;
    loop = sound.loops ?? (page.loops ? false : loop);
    if (page.loops || sound.loops || sound.seconds !== seconds) region = null;
    page = { offset: 0, ...sound };
    tracks = page.tracks;
    buffers = made;
    seconds = page.seconds ?? made[0].duration;
    waves = tracks.map((track) => (track.wave ? bytes(track.wave) : peaks(made[0])));
    highest = Math.max(1, ...waves.map((values) => Math.max(...values)));
    const wanted = byHand ? tint : (page.opens ?? tint);
    chosen = Math.max(0, tracks.findIndex((track) => track.tint === wanted));
    resting = at >= 0 && at < seconds ? at : 0;
    if (context) connect();
    if (old) {
      restart(resting);
      retire(old, when);
    }
    wave.setAttribute("aria-valuemax", seconds.toFixed(1));
    byId("play").disabled = byId("loop").disabled = !tracks.length;
    buttons.forEach((button, i) => (button.disabled = !tracks[i]));
    show();
  }

  // The loudest moment of each column of a sound that came without a picture, 0 to 255.
  function peaks(buffer) {
    const sound = buffer.getChannelData(0);
    const size = Math.max(1, Math.ceil(sound.length / 800));
    return Uint8Array.from({ length: 800 }, (_, i) => {
      let most = 0;
      for (let j = i * size; j < Math.min((i + 1) * size, sound.length); j += 4) {
        most = Math.max(most, Math.abs(sound[j]));
      }
      return Math.min(255, 255 * most);
    });
  }

  function open() {
    context = new AudioContext({ sampleRate: page.sampleRate, latencyHint: "interactive" });
    volume = new GainNode(context, { gain: loudness() });
    volume.connect(context.destination);
    connect();
  }

  function connect() {
    levels = tracks.map((_, i) => new GainNode(context, { gain: level(i) }));
    for (const node of levels) node.connect(volume);
  }

  function level(track) {
    if (track !== chosen) return 0;
    return boosted ? 1 : 10 ** (-(tracks[track].boostDb ?? 0) / 20);
  }

  function loudness() {
    return byId("volume").valueAsNumber ** 2;
  }

  function glide(gain, to, when, from = gain.value) {
    gain.cancelScheduledValues(when);
    gain.setValueAtTime(from, when);
    gain.linearRampToValueAtTime(to, when + FADE_SECONDS);
  }

  function bounds() {
    return region ?? [0, seconds];
  }

  function position(when = context?.currentTime) {
    if (!running) return resting;
    let at = running.from + Math.max(0, when - running.when);
    const [start, end] = running.bounds;
    if (running.loops && at >= end) at = start + ((at - start) % (end - start));
    return Math.min(at, seconds);
  }

  function start(from, when) {
    const [begin, end] = bounds();
    const loops = loop && from < end;
    const group = { from, when, loops, bounds: [begin, end], sources: [], fades: [] };
    buffers.forEach((buffer, i) => {
      const source = new AudioBufferSourceNode(context, { buffer, loop: loops });
      if (loops) [source.loopStart, source.loopEnd] = [begin, end];
      const fade = new GainNode(context);
      if (from > 0) glide(fade.gain, 1, when, 0);
      source.connect(fade).connect(levels[i]);
      source.start(when, from);
      group.sources.push(source);
      group.fades.push(fade);
    });
    group.sources[0].onended = () => running === group && rest(0);
    running = group;
  }

  function retire(group, when) {
    for (const fade of group.fades) glide(fade.gain, 0, when);
    for (const source of group.sources) source.stop(when + 2 * FADE_SECONDS);
    group.sources[0].onended = () => group.fades.forEach((fade) => fade.disconnect());
  }

  // Go on from `at`; without it, from here, as after a change of the loop.
  function restart(at) {
    const when = context.currentTime + AHEAD_SECONDS;
    const old = running;
    start(at ?? position(when), when);
    if (old) retire(old, when);
  }

  function rest(at) {
    resting = at;
    running = null;
    show();
  }

  function play() {
    if (!context) open();
    context.resume();
    const [begin, end] = bounds();
    const atEnd = resting >= seconds || (loop && resting === end);
    restart(atEnd ? (loop ? begin : 0) : resting);
    show();
  }

  function stop() {
    const at = position();
    retire(running, context.currentTime);
    rest(at);
  }

  function seek(to) {
    const at = clamp(to, 0, seconds);
    if (running) restart(Math.min(at, Math.max(0, seconds - 0.05)));
    else resting = at;
    show();
  }

  function choose(track) {
    chosen = track;
    byHand = true;
    fadeLevels();
    show();
  }

  function fadeLevels() {
    if (context) levels.forEach((node, i) => glide(node.gain, level(i), context.currentTime));
  }

  function setLoop(on, bounds = region) {
    loop = on;
    region = bounds;
    const outside = region && (position() < region[0] || position() > region[1]);
    if (running) restart(on && outside ? region[0] : undefined);
    else if (on && outside) resting = region[0];
    show();
  }

  function setRegion(one, other) {
    const [start, end] = [one, other].map((at) => clamp(at, 0, seconds)).sort((a, b) => a - b);
    if (end - start >= LOOP_MIN_SECONDS) setLoop(true, [start, end]);
  }

  // ── Picture ──────────────────────────────────────────────────────────────────────────────────

  const wave = byId("wave");
  const canvas = wave.firstElementChild;
  const cursors = [...document.querySelectorAll(".cursor")];
  const buttons = [...document.querySelectorAll("[data-track]")];
  let waves = [];
  let highest = 1;
  let marks = []; // places that are marked on the wave, in seconds of the piece
  let drag = null;

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);
  }

  function draw() {
    const ratio = window.devicePixelRatio || 1;
    const width = (canvas.width = Math.round(wave.clientWidth * ratio));
    const height = (canvas.height = Math.round(wave.clientHeight * ratio));
    if (!width || !tracks.length) return;
    const pen = canvas.getContext("2d");
    const values = waves[chosen];
    const [step, bar] = [3 * ratio, 2 * ratio];
    const across = (at) => (at / (seconds || 1)) * width;
    const here = across(position());
    const marked = drag?.region ?? (loop ? region : null);
    if (marked) {
      pen.fillStyle = colour("rule");
      pen.fillRect(across(marked[0]), 0, across(marked[1] - marked[0]), height);
    }
    pen.fillStyle = colour("severe");
    for (const [start, end] of marks) {
      const [from, to] = [across(start - page.offset), across(end - page.offset)];
      if (to < 0 || from > width) continue;
      pen.globalAlpha = 0.25;
      pen.fillRect(from - 4 * ratio, 0, Math.max(to - from, ratio) + 8 * ratio, height);
      pen.globalAlpha = 1;
      pen.fillRect(from, height - 4 * ratio, Math.max(to - from, 2 * ratio), 4 * ratio);
    }
    pen.fillStyle = colour(tracks[chosen].tint);
    for (let x = 0; x < width; x += step) {
      const first = Math.floor((x / width) * values.length);
      const last = Math.max(first + 1, Math.ceil(((x + step) / width) * values.length));
      const peak = Math.max(...values.subarray(first, last)) / highest;
      const tall = Math.max(ratio, peak * (height - 16 * ratio));
      pen.globalAlpha = x < here ? 1 : 0.45;
      pen.fillRect(x, (height - tall) / 2, bar, tall);
    }
    pen.globalAlpha = 1;
    pen.fillStyle = colour("ink");
    if (marked) for (const at of marked) pen.fillRect(across(at) - ratio / 2, 0, ratio, height);
    pen.fillRect(clamp(here - ratio, 0, width - 2 * ratio), 0, 2 * ratio, height);
  }

  function show() {
    const at = position();
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", i === chosen));
    byId("play").textContent = running ? "Stop" : "Play";
    byId("loop").setAttribute("aria-pressed", loop);
    byId("time").textContent = `${clock(page.offset + at)} / ${clock(page.offset + seconds)}`;
    if (!running || Math.abs(at - wave.getAttribute("aria-valuenow")) >= 1) {
      wave.setAttribute("aria-valuenow", at.toFixed(1));
      wave.setAttribute("aria-valuetext", `${clock(page.offset + at)} of ${clock(page.offset + seconds)}`);
    }
    for (const cursor of cursors) {
      cursor.style.left = `${(100 * at) / (seconds || 1)}%`;
      cursor.style.opacity = running || at > 0 ? 1 : 0;
    }
    draw();
  }

  function follow() {
    if (running) show();
    requestAnimationFrame(follow);
  }

  // ── Hands ────────────────────────────────────────────────────────────────────────────────────

  function timeAt(event, element) {
    const box = element.getBoundingClientRect();
    return clamp((event.clientX - box.left) / box.width, 0, 1) * seconds;
  }

  const keys = {
    " ": () => (running ? stop() : play()),
    ArrowLeft: (event) => seek(position() - (event.shiftKey ? 10 : 2)),
    ArrowRight: (event) => seek(position() + (event.shiftKey ? 10 : 2)),
    l: () => setLoop(!loop),
    "[": () => setRegion(position(), position() < bounds()[1] ? bounds()[1] : seconds),
    "]": () => setRegion(position() > bounds()[0] ? bounds()[0] : 0, position()),
    Escape: () => region && setLoop(loop, null),
  };

  function press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { target, key } = event;
    const written = "textarea, select, input:not([type=range], [type=checkbox], [type=radio])";
    if (target.matches(written) || key === "Enter" || !tracks.length) return;
    // Who walks by keyboard presses what has the focus; who has just clicked wants to hear.
    const walked = target.matches("button, summary, a, input:not([type=range])");
    if (key === " " && walked && target.matches(":focus-visible")) return;
    if (target.matches("input") && (key.startsWith("Arrow") || ["Home", "End"].includes(key))) return;
    if (target === wave && ["Home", "End"].includes(key)) seek(key === "Home" ? 0 : seconds);
    else if (tracks[Number(key) - 1]) choose(Number(key) - 1);
    else if (keys[key] ?? keys[key.toLowerCase()]) (keys[key] ?? keys[key.toLowerCase()])(event);
    else return;
    event.preventDefault();
  }

  function listen() {
    document.addEventListener("keydown", press);
    buttons.forEach((button, i) => button.addEventListener("click", () => choose(i)));
    byId("play").addEventListener("click", () => keys[" "]());
    byId("loop").addEventListener("click", () => keys.l());
    byId("volume").addEventListener("input", () => {
      if (context) glide(volume.gain, loudness(), context.currentTime);
    });
    byId("raised")?.addEventListener("change", (event) => {
      boosted = event.target.checked;
      fadeLevels();
    });
    // A button pressed by hand gives the keys back to the player.
    for (const button of document.querySelectorAll(".player button")) {
      button.addEventListener("click", (event) => event.detail && button.blur());
    }
    for (const plot of document.querySelectorAll(".plot.seek")) {
      plot.addEventListener("click", (event) => seek(timeAt(event, plot)));
    }
    wave.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      wave.setPointerCapture(event.pointerId);
      drag = { x: event.clientX, from: timeAt(event, wave), region: null };
    });
    wave.addEventListener("pointermove", (event) => {
      if (!drag) return;
      if (drag.region || Math.abs(event.clientX - drag.x) >= DRAG_PIXELS) {
        drag.region = [drag.from, timeAt(event, wave)].sort((a, b) => a - b);
        draw();
      }
    });
    wave.addEventListener("pointerup", () => {
      const done = drag;
      drag = null;
      if (done?.region) setRegion(...done.region);
      else if (done) seek(done.from);
    });
    wave.addEventListener("pointercancel", () => {
      drag = null;
      draw();
    });
  }

  // ── Page ─────────────────────────────────────────────────────────────────────────────────────

  function themes() {
    const system = matchMedia("(prefers-color-scheme: dark)");
    const root = document.documentElement;
    const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
    const name = () => {
      byId("theme").textContent = dark() ? "Light" : "Dark";
      byId("theme").setAttribute("aria-label", `Switch to ${dark() ? "light" : "dark"} colours`);
      draw();
    };
    byId("theme").addEventListener("click", () => {
      root.dataset.theme = dark() ? "light" : "dark";
      document.dispatchEvent(new CustomEvent("theme", { detail: root.dataset.theme }));
      name();
    });
    system.addEventListener("change", name);
    name();
  }

  // Paper has nothing to unfold.
  function prints() {
    let closed = [];
    addEventListener("beforeprint", () => {
      closed = [...document.querySelectorAll("main > section details:not([open])")];
      for (const part of closed) part.open = true;
    });
    addEventListener("afterprint", () => closed.forEach((part) => (part.open = false)));
  }

  themes();
  prints();
  new ResizeObserver(draw).observe(wave);
  listen();
  requestAnimationFrame(follow);
  const inside = byId("sound");
  if (inside) {
    const sound = JSON.parse(inside.textContent);
    byId("status").textContent = "Unpacking the sound …";
    load(sound).then(
      () => (byId("status").textContent = ""),
      () => {
        byId("status").textContent =
          `This browser cannot decode ${sound.coding}. Firefox, Chrome, Edge, and Safari from 18.4 on can.`;
      },
    );
  }

  // What a test, or a curious reader, may look at.
  window.nitido = {
    load,
    mark: (places) => ((marks = places), draw()),
    // Loop a place of the piece, with a little around it.
    hear: (start, end) => {
      const wide = Math.max(0, 1.5 - (end - start)) / 2;
      setRegion(start - wide - page.offset, end + wide - page.offset);
      if (!running && tracks.length) play();
    },
    play: () => running || !tracks.length || play(),
    get context() { return context; },
    get output() { return volume; },
    get state() {
      return { playing: Boolean(running), position: position(), track: chosen, loop, region, seconds, offset: page.offset };
    },
  };
})();
