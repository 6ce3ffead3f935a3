"use strict";
// The page: sends files, shows what the server says, and keeps focus and sound where they are.
// Panels are drawn by the server; those that are different are swapped when it says that something changed.
(() => {
  const byId = (id) => document.getElementById(id);
  const all = (what, within = document) => [...within.querySelectorAll(what)];
  const kind = document.body.dataset.page;
  const SETTLE_MS = 250; // that a slider rests before its value is sent
  const RETRY_MS = 2000; // after which a server that did not answer is asked again
  const NEWS = 20; // lines that are kept

  let version = -1; // of the server's state, as it is shown
  let shownSet = "";
  let set = null; // of sounds that can be played now, part by part
  let part = 0;
  let loads = 0;
  let drawing = Promise.resolve(); // the last refresh
  let next = null; // the one that has not begun
  let retry = 0; // of a refresh that failed
  let dragging = false;
  let settling = 0; // what a hand changed and the server does not know yet
  let again = false; // whether something changed meanwhile
  let seen = new Set(); // tasks whose end was told

  // ── The server ───────────────────────────────────────────────────────────────────────────────

  async function ask(method, path, body) {
    const options = { method, headers: body === undefined ? {} : { "Content-Type": "application/json" } };
    if (body !== undefined) options.body = JSON.stringify(body);
    let answer;
    try {
      answer = await fetch(path, options);
    } catch {
      throw new Error("The server does not answer; try again in a moment.");
    }
    const said = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(reason(said, answer.status));
    return said;
  }

  function reason(said, status) {
    if (typeof said.detail === "string") return said.detail;
    if (Array.isArray(said.detail)) return said.detail.map((one) => `${one.loc?.at(-1)}: ${one.msg}`).join("; ");
    return `The server says ${status}.`;
  }

  function listen() {
    const source = new EventSource("api/events");
    source.onopen = () => (byId("lost").hidden = true);
    source.onerror = () => {
      byId("lost").hidden = false;
      if (source.readyState === EventSource.CLOSED) setTimeout(listen, RETRY_MS);
    };
    source.onmessage = (event) => {
      byId("lost").hidden = true;
      const state = JSON.parse(event.data);
      tasks(state.tasks);
      if (state.version !== version) {
        version = state.version;
        refresh();
      }
    };
  }

  // ── What is being done ───────────────────────────────────────────────────────────────────────

  const own = () => Number(byId("pieces")?.dataset.piece || 0);

  function tasks(list) {
    const first = version < 0;
    for (const task of list) {
      if (!["done", "failed", "cancelled"].includes(task.state) || seen.has(task.id)) continue;
      seen.add(task.id);
      if (first) continue;
      if (task.state === "failed") notice(task.said);
      if (task.state === "cancelled" && task.kind !== "preview") say(`${task.words}: cancelled. Nothing was changed.`);
      if (task.state === "done" && ["restore", "generate", "compare"].includes(task.kind)) say(`${task.words}: done.`);
      if (task.state === "done" && task.kind === "check") refresh().then(() => say(document.querySelector("#fit .told")?.textContent.trim() ?? ""));
      if (task.state === "done" && task.kind === "preview") say("The preview is ready.");
    }
    const open = list.filter((task) => ["waiting", "working"].includes(task.state) && task.kind !== "original");
    for (const cell of all("[data-task]")) {
      const task = open.find((one) => one.pieces.includes(Number(cell.dataset.task)));
      if (task) cell.textContent = words(task);
    }
    const mine = open.filter((task) => kind !== "restore" || task.pieces.includes(own()));
    const task = mine.find((one) => one.state === "working") ?? mine[0] ?? open.find((one) => one.state === "working") ?? open[0];
    const [doing, share, cancel] = [byId("doing"), byId("share"), byId("cancel")];
    if (!doing) return;
    const more = open.length > 1 ? ` · ${open.length - 1} more` : "";
    doing.textContent = task ? `${words(task)}${more}` : "";
    share.hidden = !task;
    if (task?.state === "working" && task.share && task.share < 1) share.value = task.share;
    else share.removeAttribute("value");
    cancel.disabled = !task;
  }

  function words(task) {
    if (task.state === "working") return `${task.words} …${task.share ? ` ${Math.round(100 * task.share)} %` : ""}`;
    const before = task.ahead === 1 ? "one is before you" : `${task.ahead} are before you`;
    return `${task.words}: ${task.ahead ? `waiting, ${before}` : "you are next"}`;
  }

  // ── News ─────────────────────────────────────────────────────────────────────────────────────

  // Each is a line of its own, so that a screen reader says the one before to its end.
  function say(text) {
    if (!text) return;
    const line = document.createElement("p");
    line.textContent = text;
    byId("news").append(line);
    while (byId("news").children.length > NEWS) byId("news").firstChild.remove();
    const doing = byId("doing");
    if (doing && !doing.textContent) doing.textContent = text;
  }

  function notice(text) {
    const place = byId("notices");
    if (!text || !place || all("p", place).some((old) => old.lastChild.textContent === text)) return;
    const line = document.createElement("p");
    line.className = "notice";
    line.setAttribute("role", "alert");
    line.append(document.createTextNode(text));
    const close = document.createElement("button");
    close.type = "button";
    close.className = "plain";
    close.textContent = "×";
    close.setAttribute("aria-label", "Dismiss this message");
    close.addEventListener("click", () => line.remove());
    line.prepend(close);
    place.append(line);
  }

  const clearNotices = () => byId("notices")?.replaceChildren();

  // ── Panels ───────────────────────────────────────────────────────────────────────────────────

  const raw = new WeakMap(); // a panel as the server last drew it

  // A hand is on something, or what it did is not yet known to the server.
  const held = () => (dragging || settling ? (again = true) : false);

  function letGo() {
    if (again && !held()) refresh();
  }

  // Draw the page as it is now; who asks while it is drawn is answered by the next one.
  function refresh() {
    if (held()) return Promise.resolve();
    again = false;
    next ??= drawing.then(() => {
      next = null;
      return draw(location.href).catch(() => {
        clearTimeout(retry);
        retry = setTimeout(refresh, RETRY_MS);
      });
    });
    return (drawing = next);
  }

  async function draw(address) {
    const answer = await fetch(address, { headers: { Accept: "text/html" } });
    if (!answer.ok) throw new Error(answer.statusText);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const panel of all("[data-panel]", fresh)) {
      const old = byId(panel.id);
      const drawn = panel.outerHTML;
      if (!old || (raw.get(old) ?? old.outerHTML) === drawn || held()) continue;
      const focused = old.contains(document.activeElement) ? document.activeElement : null;
      const open = all("details[open]", old).map((one) => one.id);
      const values = new Map(all("select:not(#like)", old).map((one) => [one.id, one.value]));
      const made = document.importNode(panel, true);
      raw.set(made, drawn);
      for (const one of all("details", made)) if (open.includes(one.id)) one.open = true;
      for (const one of all("select", made)) if (values.has(one.id)) one.value = values.get(one.id);
      for (const id of ["doing", "share", "cancel"]) {
        const [kept, other] = [old.querySelector(`#${id}`), made.querySelector(`#${id}`)];
        if (kept && other) other.replaceWith(kept);
      }
      old.replaceWith(made);
      if (!focused) continue;
      const next = byId(focused.id) ?? made.querySelector("h2[tabindex], a, button") ?? byId("main");
      const folded = next.closest("details:not([open])");
      if (folded && next.tagName !== "SUMMARY") folded.open = true; // what has the focus is to be seen
      next.focus({ preventScroll: true });
    }
    document.title = fresh.title;
    marks();
    sounds();
  }

  // ── Sound ────────────────────────────────────────────────────────────────────────────────────

  const NOTES = {
    preview: ({ seconds, offset }) => `Preview: the loudest ${Math.round(seconds)} seconds, from ${clock(offset)}.`,
    original: () => (byId("bottom").textContent.trim() ? "As it came; After follows as soon as it is restored." : "As it came."),
    result: () => "",
  };
  const clock = (at) => `${Math.floor(at / 60)}:${String(Math.floor(at % 60)).padStart(2, "0")}`;

  async function sounds() {
    const place = byId("sets");
    if (!place) return;
    const wanted = place.dataset.sets && `${own()}/${place.dataset.sets}`;
    if (!wanted || wanted === shownSet) {
      if (!wanted && !shownSet.startsWith("local")) byId("player").hidden = true;
      return;
    }
    const longer = shownSet && wanted.replace(/\d+$/, "") === shownSet.replace(/\d+$/, ""); // more parts of it
    shownSet = wanted;
    try {
      await open(place.dataset.sets.split("/")[0], longer);
    } catch (error) {
      shownSet = "";
      if (error.name === "EncodingError") byId("status").textContent = "This browser cannot play it; the files can be downloaded.";
    }
  }

  // Play sounds of that name from where the ones before were in the piece, or from `start`.
  async function open(name, longer = false, start = null) {
    const [wanted, before] = [shownSet, set];
    const fresh = await ask("GET", `api/pieces/${own()}/sets/${name}`);
    if (shownSet !== wanted) return;
    set = { ...fresh, name, piece: own() };
    const at = start ?? (before?.piece === own() ? before.parts[part].offset : 0);
    if (!longer) await listenTo(partAt(at));
    parts();
  }

  const partAt = (at) => Math.max(0, set.parts.findLastIndex(({ offset }) => offset <= at));

  // Load a part of the sounds that can be played now.
  async function listenTo(number) {
    const { sampleRate, coding, name } = set;
    const { offset, seconds, tracks } = set.parts[(part = number)];
    const turn = ++loads;
    const loaded = await Promise.all(tracks.map(async (track) => ({ ...track, content: await (await fetch(track.url)).arrayBuffer() })));
    if (turn !== loads) return; // another was asked for meanwhile
    await window.nitido.load({ sampleRate, coding, offset, seconds, tracks: loaded, opens: "after", loops: name === "preview" || undefined });
    byId("player").hidden = false;
    all("[data-track]").forEach((button, i) => {
      const track = tracks[i];
      if (kind === "compare") {
        button.hidden = !track;
        if (track) button.className = `track ${track.tint}`;
      }
      if (track) button.querySelector("span").textContent = track.name;
    });
    byId("status").textContent = NOTES[name](set.parts[part]);
    const boost = tracks.find((track) => track.boostDb);
    byId("raise").hidden = !boost;
    if (boost) byId("raise").querySelector("span").textContent = `${boost.name} is raised by ${boost.boostDb.toFixed(1)} dB to be heard`;
  }

  // A long piece is played in parts.
  function parts() {
    const choice = byId("part");
    choice.parentElement.hidden = set.parts.length < 2;
    choice.replaceChildren(...set.parts.map(({ offset, seconds }, i) => new Option(`${clock(offset)} to ${clock(offset + seconds)}`, i, false, i === part)));
  }

  async function hear(start, end) {
    const there = set && start < set.parts.at(-1).offset + set.parts.at(-1).seconds && end > set.parts[0].offset;
    if (set && !there) await open("original", false, start); // a preview is elsewhere
    else if (set && partAt(start) !== part) await listenTo(partAt(start));
    if (set) parts();
    window.nitido.hear(start, end);
  }

  // A file that was just dropped plays at once, before it has been sent.
  async function playHere(file) {
    if (kind !== "restore" || file.size > 60e6) return;
    try {
      const content = await file.arrayBuffer();
      shownSet = `local/${file.name}`;
      loads++;
      await window.nitido.load({ sampleRate: 48000, tracks: [{ name: "Before", tint: "before", content }] });
      byId("player").hidden = false;
      byId("status").textContent = "As it came; After follows as soon as it is restored.";
      window.nitido.play();
    } catch {
      shownSet = ""; // a format that only the server can read
    }
  }

  function marks() {
    const places = all("[data-hear]").map((button) => button.dataset.hear.split(" ").map(Number));
    window.nitido?.mark(places);
  }

  // ── Sending ──────────────────────────────────────────────────────────────────────────────────

  let sending = Promise.resolve();

  function take(files, what) {
    const music = [...files].filter((file) => file.size && !file.name.startsWith("."));
    if (!music.length) return;
    clearNotices();
    if (what === "piece") playHere(music[0]);
    music.forEach((file, i) => {
      const line = document.createElement("li");
      line.textContent = `${file.name}: waiting to be sent`;
      byId("sending").append(line);
      const count = music.length > 1 ? ` (${i + 1} of ${music.length})` : "";
      sending = sending.then(() => send(file, what, line, count)).then(
        (piece) => arrived(piece, what, music.length),
        (error) => notice(error.message),
      ).then(() => line.remove());
    });
  }

  function send(file, what, line, count) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("POST", `api/pieces?name=${encodeURIComponent(file.name)}&kind=${what}`);
      request.setRequestHeader("Content-Type", "application/octet-stream");
      line.className = "";
      request.upload.onprogress = ({ loaded, total }) => {
        line.textContent = `${file.name}${count}: ${Math.round((100 * loaded) / (total || 1))} % sent`;
      };
      request.onload = () => {
        let said = {};
        try {
          said = JSON.parse(request.responseText);
        } catch {
          said = { detail: request.responseText };
        }
        if (request.status === 201) return resolve(said);
        const [why, seconds] = [reason(said, request.status), Number(request.getResponseHeader("retry-after"))];
        if (request.status !== 503 || !seconds) return reject(new Error(why));
        line.className = "full";
        say((line.textContent = `${file.name}${count}: ${why} It is sent again by itself, in a minute.`));
        setTimeout(() => send(file, what, line, count).then(resolve, reject), 1000 * seconds);
      };
      request.onerror = () => reject(new Error(`${file.name} could not be sent: the connection broke off, or it is too large.`));
      request.send(file);
    });
  }

  function arrived(piece, what, count) {
    say(`${piece.name} has arrived.`);
    if (what === "reference") return ask("GET", `api/pieces/${piece.id}?wait=60`).then(({ said }) => (said ? notice(said) : choose({ ...choices(), reference: piece.id })));
    if (kind !== "restore" || what !== "piece") return refresh();
    const first = !own();
    if (first || count === 1) return show(piece.id, first);
    return refresh();
  }

  function show(piece, replacing = false) {
    const address = `?piece=${piece}`;
    replacing ? history.replaceState(null, "", address) : history.pushState(null, "", address);
    return refresh();
  }

  async function record(button) {
    if (button.recorder) return button.recorder.stop();
    if (!window.isSecureContext || !navigator.mediaDevices) {
      return notice("A browser records only over https, or on the computer that the server runs on; record with another program and drop the file.");
    }
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
      const parts = [];
      const recorder = (button.recorder = new MediaRecorder(stream));
      recorder.ondataavailable = (event) => parts.push(event.data);
      recorder.onstop = async () => {
        button.recorder = null;
        button.textContent = "Record";
        button.setAttribute("aria-pressed", "false");
        stream.getTracks().forEach((track) => track.stop());
        const sound = await new OfflineAudioContext(2, 1, 48000).decodeAudioData(await new Blob(parts).arrayBuffer());
        take([new File([wav(sound)], `Recording ${new Date().toTimeString().slice(0, 8).replaceAll(":", ".")}.wav`)], "piece");
      };
      recorder.start();
      button.textContent = "Stop recording";
      button.setAttribute("aria-pressed", "true");
      say("Recording.");
    } catch {
      notice("There is no microphone that this page may use; allow it in the browser, or drop a file.");
    }
  }

  // A WAV file of 32-bit floats.
  function wav(sound) {
    const [count, length] = [sound.numberOfChannels, sound.length];
    const view = new DataView(new ArrayBuffer(44 + 4 * count * length));
    const text = (at, letters) => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
    text(0, "RIFF"), view.setUint32(4, 36 + 4 * count * length, true), text(8, "WAVEfmt "), view.setUint32(16, 16, true);
    view.setUint16(20, 3, true), view.setUint16(22, count, true), view.setUint32(24, sound.sampleRate, true);
    view.setUint32(28, 4 * count * sound.sampleRate, true), view.setUint16(32, 4 * count, true), view.setUint16(34, 32, true);
    text(36, "data"), view.setUint32(40, 4 * count * length, true);
    for (let c = 0; c < count; c++) sound.getChannelData(c).forEach((value, i) => view.setFloat32(44 + 4 * (i * count + c), value, true));
    return view.buffer;
  }

  // ── Choices ──────────────────────────────────────────────────────────────────────────────────

  const choices = () => JSON.parse(byId("list").dataset.choices);

  function choose(next) {
    byId("list").dataset.choices = JSON.stringify(next);
    clearTimeout(settling);
    const mine = (settling = setTimeout(async () => {
      await ask("PUT", `api/pieces/${own()}/choices`, next).catch((error) => notice(error.message));
      if (mine === settling) settling = 0; // else a hand changed more meanwhile
      again = true;
      letGo();
    }, SETTLE_MS));
  }

  function told(value, unit) {
    const number = unit === "%" ? Math.round(100 * value) : unit === "s" ? value.toFixed(2) : value;
    return `${number} ${unit}`.replace("-", "−");
  }

  function change({ target }) {
    const next = kind === "restore" && byId("list").dataset.choices ? choices() : null;
    if (target.id === "part") listenTo(Number(target.value)).catch((error) => notice(error.message));
    else if (target.type === "file") {
      take(target.files, target.dataset.kind);
      target.value = "";
    } else if (!next) return;
    else if (target.name === "preset") choose({ ...next, preset: target.value, settings: {}, reference: null });
    else if (target.id === "like") choose({ ...next, reference: Number(target.value) || null });
    else if (target.id === "album") ask("POST", `api/restore?album=${target.checked}`).catch((error) => notice(error.message));
    else if (target.dataset.stage) {
      next.settings[`${target.dataset.stage}.mode`] = target.checked ? "on" : "off";
      if (target.dataset.stage === "ending") delete next.settings["ending.loop"];
      choose(next);
    } else if ("loop" in target.dataset && target.id === "is-loop") {
      next.settings["ending.loop"] = target.checked;
      delete next.settings["ending.mode"]; // a loop has no ends to mend
      choose(next);
    } else if (target.dataset.setting) {
      next.settings[target.dataset.setting] = target.valueAsNumber;
      choose(next);
    }
  }

  function slide({ target }) {
    if (!target.dataset.setting) return;
    const text = told(target.valueAsNumber, target.dataset.unit);
    byId(target.id.replace("-amount", "-shown")).textContent = text;
    target.setAttribute("aria-valuetext", text);
  }

  // ── Hands ────────────────────────────────────────────────────────────────────────────────────

  const DO = {
    folder: () => byId("folder").click(),
    record: (button) => record(button),
    cancel: () => ask("POST", "api/cancel"),
    restore: () => ask("POST", `api/pieces/${own()}/restore`),
    check: () => ask("POST", `api/pieces/${own()}/check?target=${byId("target").value}`),
    all: () => ask("POST", "api/restore"),
    same: () => ask("POST", "api/restore", choices()),
    reset: () => choose({ ...choices(), settings: {}, reference: null }),
    compare: async () => {
      const chosen = all("[data-version]").filter((select) => select.value);
      const of = (role) => chosen.filter((one) => one.value === role).map((one) => {
        const [piece, restored] = one.dataset.version.split(" ").map(Number);
        return { piece, restored: Boolean(restored) };
      });
      if (of("before").length !== 1 || !of("after").length) throw new Error("Two are needed: one as Before, and one or more as After.");
      const { id } = await ask("POST", "api/comparisons", { versions: [...of("before"), ...of("after")], reference: of("reference")[0] ?? null });
      history.replaceState(null, "", `?piece=${id}`);
    },
    generate: () => byId("ask").requestSubmit(),
  };

  const closeOthers = (target) => all(".what[open]").forEach((one) => one.contains(target) || (one.open = false));

  async function press(event) {
    closeOthers(event.target);
    const button = event.target.closest("[data-do], [data-choose], [data-remove], [data-hear], [data-take], [data-prompt]");
    if (!button) return;
    const { do: what, choose: piece, remove, hear: place, take: clip, prompt } = button.dataset;
    if (button.tagName === "A" && (event.ctrlKey || event.metaKey || event.shiftKey)) return;
    event.preventDefault();
    if (what && what !== "folder") clearNotices();
    try {
      if (what) await DO[what](button);
      if (piece) {
        await show(piece);
        byId("name")?.focus({ preventScroll: true });
      }
      if (place) await hear(...place.split(" ").map(Number));
      if (prompt !== undefined) byId("prompt").value = button.textContent;
      if (clip) {
        await ask("POST", `api/pieces/${clip}/take`);
        location.href = `.?piece=${clip}`;
      }
      if (remove) {
        await ask("DELETE", `api/pieces/${remove}`);
        say("Removed.");
        if (Number(remove) === own()) {
          shownSet = "";
          loads++;
          history.replaceState(null, "", location.pathname);
        }
        await refresh();
        if (document.activeElement === document.body) byId("main").focus({ preventScroll: true });
      }
    } catch (error) {
      notice(error.message);
    }
  }

  function drops() {
    const place = () => document.querySelector("[data-drop]");
    for (const type of ["dragenter", "dragover"]) {
      addEventListener(type, (event) => {
        event.preventDefault();
        place()?.classList.add("over");
      });
    }
    for (const type of ["dragleave", "drop"]) addEventListener(type, () => place()?.classList.remove("over"));
    addEventListener("drop", async (event) => {
      event.preventDefault();
      const to = event.target.closest?.("[data-drop]") ?? place();
      const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
      const files = entries.length ? (await Promise.all(entries.map(within))).flat() : [...event.dataTransfer.files];
      if (to) take(files, to.dataset.drop);
    });
  }

  async function within(entry) {
    if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
    const reader = entry.createReader();
    const found = [];
    for (;;) {
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!some.length) return found;
      for (const one of some) found.push(...(await within(one)));
    }
  }

  document.addEventListener("click", press);
  document.addEventListener("change", change);
  document.addEventListener("input", slide);
  document.addEventListener("keydown", ({ key }) => key === "Escape" && closeOthers(null));
  document.addEventListener("pointerdown", ({ target }) => (dragging = target.matches?.("[data-setting]") ?? false));
  for (const type of ["pointerup", "pointercancel"]) {
    addEventListener(type, () => {
      if (!dragging) return;
      dragging = false;
      letGo();
    });
  }
  document.addEventListener("theme", ({ detail }) => {
    document.cookie = `theme=${detail}; max-age=31536000; samesite=lax`;
  });
  byId("ask")?.addEventListener("submit", (event) => {
    event.preventDefault();
    clearNotices();
    const asked = Object.fromEntries([...new FormData(event.target)].filter(([, value]) => typeof value === "string" && value !== ""));
    for (const name of ["seconds", "candidates", "seed", "melody"]) if (name in asked) asked[name] = Number(asked[name]);
    ask("POST", "api/generate", asked).catch((error) => notice(error.message));
  });
  addEventListener("popstate", () => refresh());
  drops();
  for (const panel of all("[data-panel]")) raw.set(panel, panel.outerHTML);
  marks();
  sounds();
  listen();
})();
