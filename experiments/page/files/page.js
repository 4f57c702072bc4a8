// The page: opens a photograph, asks for a search, watches it, shows what came out.

import { Editor } from "/editor.js";

const $ = (id) => document.getElementById(id);
const state = { session: null, job: null, events: null, defaults: {}, texts: {}, history: [] };
const editor = new Editor($("canvas"), changed);

function say(text, wrong = false) {
  $("status").textContent = text;
  $("status").classList.toggle("error", wrong);
}

async function ask(path, options = {}) {
  const answer = await fetch(path, options).catch(() => null);
  if (answer === null) throw new Error("the server does not answer.");
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    throw new Error(told.error ?? `the server answers ${answer.status}.`);
  }
  return answer;
}

const json = async (path, options) => (await ask(path, options)).json();

// Does something at a click, and says what went wrong.
function act(id, does, name = "click") {
  $(id).addEventListener(name, (event) => Promise.resolve(does(event)).catch((error) => say(error.message, true)));
}

// The photograph.

async function open(blob, name) {
  stop();
  say("Opening…");
  const old = state.session;
  const found = await json(`/pictures?name=${encodeURIComponent(name)}`, { method: "POST", body: blob });
  if (old) fetch(`/pictures/${old.id}`, { method: "DELETE" });
  state.session = found;
  const shown = await createImageBitmap(await (await ask(`/pictures/${found.id}`)).blob());
  $("result").hidden = $("watch").hidden = true;
  $("drop").classList.add("full");
  $("hint").hidden = true;
  editor.open(shown, found.width, found.height);
  say(`${found.name}, ${found.width} × ${found.height} pixels. Looking for faces…`);
  const { outlines } = await json(`/pictures/${found.id}/faces`);
  if (state.session !== found) return; // another one has been opened
  editor.outlines = outlines;
  editor.draw();
  const remark = found.remark ? ` The file ${found.remark}.` : "";
  const faces = outlines.length === 1 ? "One face" : `${outlines.length} faces`;
  say(outlines.length
    ? `${faces} found. Paint over what is to be replaced.${remark}`
    : `No face was found. Paint over what hides it, and it is looked for again.${remark}`);
  changed();
}

// The file that was chosen; the same may be chosen again.
function taken(event) {
  const [file] = event.target.files;
  event.target.value = "";
  return file;
}

const openFile = (file) => file && open(file, file.name || "pasted.png");

function changed() {
  const marked = editor.marked();
  $("start").disabled = !marked || state.job !== null;
  $("undo").disabled = !editor.done.length;
  $("redo").disabled = !editor.undone.length;
  $("clear").disabled = $("mask_save").disabled = !marked;
  if (marked && outside()) say(OUTSIDE, true);
  else if ($("status").classList.contains("error")) say("");
}

const OUTSIDE = "The hole lies outside every face that was found; paint a part of a face.";
const outside = () => editor.outlines.length > 0 && !$("framed").checked && !editor.meetsFace();

act("open", () => $("file").click());
act("file", (event) => openFile(taken(event)), "change");
act("portrait", async () => open(await (await ask("/portrait.png")).blob(), "portrait.png"));
act("drop", (event) => { event.preventDefault(); $("drop").classList.add("over"); }, "dragover");
act("drop", () => $("drop").classList.remove("over"), "dragleave");
act("drop", (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  return openFile(event.dataTransfer.files[0]);
}, "drop");
document.addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files].find((each) => each.type.startsWith("image/"));
  if (file) open(file, file.name || "pasted.png").catch((error) => say(error.message, true));
});

// The tools.

function choose(tool) {
  editor.tool = tool;
  for (const each of ["brush", "eraser", "rectangle"]) $(each).setAttribute("aria-pressed", each === tool);
}

function resize(by) {
  $("size").value = Number($("size").value) + by;
  editor.size = Number($("size").value);
  editor.draw();
}

for (const tool of ["brush", "eraser", "rectangle"]) act(tool, () => choose(tool));
act("size", () => resize(0), "input");
act("undo", () => editor.undo());
act("redo", () => editor.redo());
act("clear", () => editor.clear());
act("fit", () => editor.fit());
for (const [name, on] of [["pointerdown", true], ["pointerup", false], ["pointerleave", false], ["blur", false]]) {
  act("peek", () => editor.peek(on), name);
}
act("peek", (event) => [" ", "Enter"].includes(event.key) && editor.peek(true), "keydown");
act("peek", () => editor.peek(false), "keyup");
act("mask_open", () => $("mask_file").click());
act("mask_file", async (event) => {
  const file = taken(event);
  if (!file || !state.session) return say("Open a photograph first.", true);
  const answer = await ask(`/pictures/${state.session.id}/mask`, { method: "POST", body: file });
  editor.setMask(await clear(await createImageBitmap(await answer.blob())));
}, "change");
act("mask_save", async () => save(await editor.stencil(), maskName()));

// What is white in a picture, on nothing.
async function clear(bitmap) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const shown = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let i = 0; i < shown.data.length; i += 4) {
    const marked = shown.data[i] > 127;
    shown.data.set([224, 33, 138, marked ? 255 : 0], i);
  }
  return createImageBitmap(shown);
}

const maskName = () => `${state.session.name.replace(/\.[^.]*$/, "")}_mask.png`;

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

document.addEventListener("keydown", (event) => {
  if (event.target.matches("input, select, textarea, pre") || event.altKey) return;
  const key = event.key.toLowerCase();
  if (event.ctrlKey || event.metaKey) {
    if (key === "z") (event.shiftKey ? editor.redo() : editor.undo(), event.preventDefault());
    if (key === "y") (editor.redo(), event.preventDefault());
    return;
  }
  const does = {
    b: () => choose("brush"), e: () => choose("eraser"), r: () => choose("rectangle"),
    "[": () => resize(-4), "]": () => resize(4), z: () => editor.undo(), y: () => editor.redo(),
    o: () => editor.peek(true),
  }[key];
  if (does) does();
});
document.addEventListener("keyup", (event) => event.key.toLowerCase() === "o" && editor.peek(false));

// The method and its settings, from the flags of the command line.

async function offer() {
  const { methods, settings } = await json("/choices");
  for (const { name, text, values } of methods) {
    $("method").append(new Option(name, name));
    state.defaults[name] = values;
    state.texts[name] = text;
  }
  for (const each of settings) (each.folded ? $("folded") : $("settings")).append(setting(each));
  take();
}

function setting({ name, kind, whole, text, words, least }) {
  const row = document.createElement("div"), label = document.createElement("label");
  const help = document.createElement("small");
  let input = document.createElement("input");
  row.className = "setting";
  if (kind === "switch") input.type = "checkbox";
  else if (words.length) {
    input = document.createElement("select");
    for (const word of words) input.append(new Option(word, word));
  } else {
    input.type = "text";
    input.inputMode = whole ? "numeric" : "decimal";
    if (least !== null) input.title = `at least ${least}`;
  }
  input.id = `set_${name}`;
  input.dataset.flag = name;
  label.htmlFor = input.id;
  label.textContent = `--${name}`;
  help.id = `help_${name}`;
  help.textContent = text;
  input.setAttribute("aria-describedby", help.id);
  row.append(label, input, help);
  return row;
}

const inputs = () => [...document.querySelectorAll("[data-flag]")];
const valueOf = (input) => (input.type === "checkbox" ? String(input.checked) : input.value.trim());

// Shows the settings that a method has by itself.
function take() {
  const values = state.defaults[$("method").value];
  $("method_text").textContent = state.texts[$("method").value];
  const searches = Object.keys(values).length > 0;
  $("settings").hidden = $("more").hidden = !searches;
  for (const input of inputs()) {
    if (input.type === "checkbox") input.checked = values[input.dataset.flag] === "true";
    else if (searches) input.value = values[input.dataset.flag];
  }
}

function chosen() {
  const method = $("method").value, flags = {};
  for (const input of inputs()) {
    const name = input.dataset.flag, usual = state.defaults[method][name];
    if (usual !== undefined && valueOf(input) !== usual) flags[name] = valueOf(input);
  }
  return { method, flags, original_known: $("known").checked, framed: $("framed").checked };
}

act("method", take, "change");
act("framed", changed, "change");

// The search.

act("form", async (event) => {
  event.preventDefault();
  $("start").disabled = true;
  try {
    await start();
  } catch (error) {
    ended();
    throw error;
  }
}, "submit");

async function start() {
  if (outside()) throw new Error(OUTSIDE);
  $("result").hidden = $("watch").hidden = true;
  $("notes").textContent = "";
  say("Sending…");
  const stencil = await editor.stencil();
  const body = JSON.stringify({ mask: await base64(stencil), choice: chosen() });
  const path = `/pictures/${state.session.id}/searches`;
  const { id } = await json(path, { method: "POST", body });
  state.job = `${path}/${id}`;
  state.stencil = stencil;
  $("cancel").hidden = false;
  say("Looking for the face…");
  state.events = new EventSource(state.job);
  state.events.onopen = () => { state.history = []; };
  state.events.onmessage = (message) => told(JSON.parse(message.data));
  state.events.onerror = () => {
    if (state.events?.readyState === EventSource.CLOSED) {
      ended();
      say("The server does not answer.", true);
    }
  };
}

const base64 = (blob) => new Promise((resolve) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result.split(",")[1]);
  reader.readAsDataURL(blob);
});

function told(event) {
  if (event.kind === "waiting") {
    say(event.before === 1 ? "Waiting: next in the queue." : `Waiting: number ${event.before} in the queue.`);
  } else if (event.kind === "faces") {
    // A face may be found only by what is left of it beside the hole.
    if (!editor.meetsFace()) editor.outlines.push(...event.outlines);
    editor.draw();
    say("Preparing; the first search of a kind is compiled.");
    $("notes").textContent = event.notes.map((note) => `Note: ${note}.`).join(" ");
    state.began = null;
  } else if (event.kind === "step") step(event);
  else if (event.kind === "done") done(event);
  else if (event.kind === "failed") {
    ended();
    $("watch").hidden = true;
    say(event.error, true);
  }
}

function step(event) {
  if (event.step <= (state.history.at(-1)?.step ?? Infinity)) state.history = []; // of another face
  state.history.push(event);
  state.began ??= { time: performance.now(), step: event.step };
  $("watch").hidden = false;
  $("candidate").src = event.picture;
  $("progress").value = (event.face + event.step / event.steps) / event.faces;
  const passed = event.step - state.began.step;
  const each = passed > 0 ? (performance.now() - state.began.time) / passed : 0;
  const left = each && event.step < event.steps ? `, about ${Math.ceil((each * (event.steps - event.step)) / 1000)} s left` : "";
  const face = event.faces > 1 ? `Face ${event.face + 1} of ${event.faces}: ` : "";
  $("progress_text").textContent = `${face}step ${event.step} of ${event.steps}, loss ${event.loss.toFixed(4)}${left}`;
  if (state.history.length === 1) say("Searching…");
  draw(event);
}

function draw(event) {
  const svg = (name, values) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(values)) made.setAttribute(key, value);
    return made;
  };
  const dots = Object.entries(event.landmarks).map(([who, points], i) => svg("path", {
    class: who, "stroke-width": i ? 1 : 1.9,
    d: points.map(([x, y]) => `M${x + 0.5},${y + 0.5}h0`).join(""),
  }));
  $("points").replaceChildren(...dots);
  const names = Object.keys(event.terms), steps = event.steps;
  const lines = [svg("path", { class: "axis", d: "M30,10V180H315" })];
  const legend = [];
  names.forEach((name, i) => {
    const values = state.history.map((each) => each.terms[name]);
    const most = Math.max(...values.map(Math.abs), 1e-12);
    const points = values.map((v, j) => `${30 + (285 * state.history[j].step) / steps},${180 - (165 * Math.abs(v)) / most}`);
    lines.push(svg("polyline", { class: `c${i % 6} d${i % 5}`, points: points.join(" ") }));
    const key = document.createElement("span");
    key.className = `key c${i % 6}`;
    legend.push(key, `${name} ${values.at(-1).toPrecision(3)}`);
  });
  const text = svg("text", { x: 30, y: 196 });
  text.textContent = "each term, from 0 to its largest value";
  $("curves").replaceChildren(...lines, text);
  $("legend").replaceChildren(...legend);
}

act("cancel", async () => {
  say("Cancelling…");
  await ask(state.job, { method: "DELETE" });
});

function stop() {
  if (state.job) fetch(state.job, { method: "DELETE" });
  ended();
}

function ended() {
  state.events?.close();
  state.events = state.job = null;
  $("cancel").hidden = true;
  $("start").disabled = !editor.marked();
}

// The result.

async function done({ candidates, scores, animated, command }) {
  const job = state.job, stem = state.session.name.replace(/\.[^.]*$/, "");
  ended();
  state.shown = { job, stem };
  const count = Math.max(...candidates.map((each) => each.length));
  $("candidates").replaceChildren(...[...Array(count).keys()].map((i) => {
    const button = document.createElement("button"), pictures = document.createElement("span");
    button.type = "button";
    button.dataset.number = i;
    button.setAttribute("aria-label", `Candidate ${i + 1}`);
    for (const each of candidates) {
      const picture = new Image(64, 64);
      picture.src = each[i] ?? each[0];
      picture.alt = "";
      pictures.append(picture);
    }
    button.append(pictures);
    button.addEventListener("click", () => show(i).catch((error) => say(error.message, true)));
    return button;
  }));
  $("before").src = URL.createObjectURL(await editor.damaged());
  $("save_search").hidden = !animated;
  $("save_search").href = `${job}/search.webp`;
  $("save_search").download = `${stem}_search.webp`;
  $("save_mask").href = URL.createObjectURL(state.stencil);
  $("save_mask").download = maskName();
  table(scores);
  $("command").hidden = !command;
  $("command_text").textContent = command;
  await show(0);
  $("result").hidden = false;
  const more = count > 1 ? ` Choose among ${count} candidates, or save the first.` : "";
  say(`Completed.${more}`);
  $("result").scrollIntoView({ block: "nearest" });
}

async function show(number) {
  const { job, stem } = state.shown;
  for (const each of $("candidates").children) each.setAttribute("aria-pressed", Number(each.dataset.number) === number);
  const blob = await (await ask(`${job}/${number}.png`)).blob();
  if ($("after").src) URL.revokeObjectURL($("after").src);
  $("after").src = $("save").href = URL.createObjectURL(blob);
  $("compare").style.setProperty("--ratio", editor.width / editor.height);
  $("save").download = number ? `${stem}_completed_${number + 1}.png` : `${stem}_completed.png`;
}

const NAMES = { psnr: "PSNR, dB", psnr_hole: "PSNR of the hole, dB", ssim: "SSIM" };

function table(scores) {
  const rows = Object.keys(scores[0]).map((name) => {
    const row = document.createElement("tr"), head = document.createElement("th");
    head.scope = "row";
    head.textContent = NAMES[name] ?? name;
    row.append(head, ...scores.map((each) => {
      const cell = document.createElement("td");
      cell.textContent = each[name].toPrecision(4);
      return cell;
    }));
    return row;
  });
  $("scores").tBodies[0].replaceChildren(...rows);
}

act("cut", () => $("compare").style.setProperty("--cut", `${$("cut").value}%`), "input");
act("copy", async () => {
  await navigator.clipboard.writeText($("command_text").textContent);
  say("Copied.");
});
window.addEventListener("pagehide", () => {
  if (state.session) fetch(`/pictures/${state.session.id}`, { method: "DELETE", keepalive: true });
});

changed();
offer().catch((error) => say(error.message, true));
