// What people do with the picture: zoom, move, point, filter, follow a message, read the words.

const $ = (id) => document.querySelector(`#${id}`);
const LIST = 50;
// The way of a message to the failure is in view if it took no longer, in nanoseconds.
const WAY_MAX = 60e9;
// No stretch shorter than this, in nanoseconds.
const SPAN_MIN = 1000;

let asked = false;
function redraw() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    draw();
  });
}

// Lines come and go with what is in view, but not while it still moves.
let settling = 0;
function settle() {
  clearTimeout(settling);
  settling = setTimeout(() => { arrange(); redraw(); }, 160);
}

function look(from, until) {
  const whole = end - begin;
  const span = Math.min(Math.max(until - from, SPAN_MIN), whole * 1.1);
  const middle = Math.min(Math.max((from + until) / 2, begin), end);
  [view.from, view.until] = [middle - span / 2, middle + span / 2];
  settle();
  redraw();
}

function zoom(factor, around = (view.from + view.until) / 2) {
  look(around - (around - view.from) * factor, around + (view.until - around) * factor);
}

function move(part) {
  const by = (view.until - view.from) * part;
  look(view.from + by, view.until + by);
}

function showAll() {
  look(begin - (end - begin) * 0.02, end + (end - begin) * 0.02);
}

// The failure with what led to it, in the room where it was.
function showFailure() {
  if (!broken) return;
  view.room = broken.room;
  view.word = $("who").value = "";
  $("room").value = broken.room ?? "";
  sift();
  const before = shown.filter((entry) => entry.at <= broken.at).slice(-40);
  const way = [...sameMessage(broken)].filter((entry) => entry.sent >= broken.at - WAY_MAX);
  const about = broken.messages.length > 0;
  const from = Math.min(...(about ? way : before).map((entry) => entry.sent), broken.at - 2e6);
  const span = (broken.at - from) * 1.35;
  view.lines = $("lines").value = about ? "about" : "seen";
  keep(about ? broken : null);
  look(broken.at - span * 0.8, broken.at + span * 0.2);
  arrange();
  reveal(broken.from);
}

// Scrolls until a lane is in view.
function reveal(lane) {
  if (!rows.has(lane)) return;
  const at = rows.get(lane);
  const hidden = at < stage.scrollTop + AXIS + ROW || at > stage.scrollTop + height - OVERVIEW - ROW;
  if (hidden) stage.scrollTop = at - height / 2;
}

function showEntry(entry) {
  const inside = entry.at >= view.from && entry.at <= view.until;
  const half = (view.until - view.from) / 2;
  if (!inside) look(entry.at - half, entry.at + half);
  if (!shown.includes(entry)) {
    view.room = null;
    view.word = $("who").value = $("room").value = "";
    sift();
  }
  keep(entry);
  arrange();
  reveal(entry.from);
  redraw();
}

// What was clicked stays lit; while nothing is, it is what the mouse points at.
let kept = null;
function keep(entry) {
  kept = entry;
  view.lit = entry ? sameMessage(entry) : new Set();
  const about = document.querySelector("#lines [value=about]");
  about.hidden = !entry || entry.messages.length === 0;
  if (about.hidden && view.lines === "about") view.lines = $("lines").value = "seen";
  list();
}

// The words: what came before the failure or the end, or all of the message that is kept.
function list() {
  const follows = kept && kept.messages.length > 0 && kept !== broken;
  $("back").hidden = !follows;
  $("back").textContent = broken ? "back to what came before the failure" : "back to the end";
  const parts = follows ? [[`All of message ${kept.messages.slice(0, 3).join(", ")}`, inOrder(kept)]]
    : before();
  $("heading").textContent = follows || !broken ? "In words" : "What led to it, in words";
  const same = broken && !follows ? sameMessage(broken) : new Set();
  $("list").replaceChildren(...parts.flatMap(([heading, told]) =>
    [element("li", heading, "parts"), ...told.map((entry) => line(entry, same.has(entry)))]));
  $("list").scrollTop = 0;
  const anchor = follows ? $("list").children[inOrder(kept).indexOf(kept) + 1]
    : broken ? null : $("list").lastElementChild;
  anchor?.scrollIntoView({ block: "nearest" });
}

const inOrder = (entry) => [...sameMessage(entry)].sort((one, other) => one.index - other.index);

// What a failure is about, if that is earlier, and what came right before it.
function before() {
  const last = broken ?? entries.at(-1);
  const near = entries.filter((entry) => entry.at <= last.at && entry !== broken
    && (!broken || broken.room === null || entry.room === broken.room
      || entry.from === broken.from || entry.kind === "fault")).slice(-LIST);
  if (!broken) return [[`The last ${near.length}`, near]];
  const way = broken.messages.length === 0 ? []
    : inOrder(broken).filter((entry) => entry.at <= last.at && !near.includes(entry));
  const names = broken.messages.slice(0, 3).join(", ");
  const parts = [["The failure", [broken]], [`The way of message ${names}`, way.slice(0, LIST)],
    [`The last ${near.length} before the failure`, near]];
  return parts.filter(([, told]) => told.length > 0);
}

function element(name, text, kind = "") {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = kind;
  return made;
}

function line(entry, same) {
  const made = element("li", "", entry.arrow ? "" : entry.kind);
  made.classList.toggle("same", same);
  made.tabIndex = 0;
  const words = element("span", "");
  words.append(element("span", who(entry), "who"), ` ${entry.text}`);
  made.append(element("time", clock(entry.at, 1e6)), words);
  made.onclick = () => showEntry(entry);
  made.onkeydown = (event) => { if (event.key === "Enter") showEntry(entry); };
  return made;
}

// What is at a place of the picture: marks before arrows before bands.
function at(px, py) {
  let [best, nearest] = [null, 7];
  for (const hit of hits) {
    if (!hit.entry) continue;
    const far = hit.mark ? Math.hypot(x(hit.entry.at) - px, y(hit.entry.from) - py) - 3
      : distance(bend(hit.entry), px, py);
    if (far < nearest) [best, nearest] = [hit, far];
  }
  return best ?? hits.find((hit) => hit.band && px >= hit.left && px <= hit.right
    && py >= hit.top && py <= hit.bottom) ?? null;
}

// From a point to a bent arrow, by some of its points.
function distance([x0, y0, cx, cy, x1, y1], px, py) {
  const [left, right] = [Math.min(x0, cx, x1), Math.max(x0, cx, x1)];
  if (px < left - 8 || px > right + 8 || py < Math.min(y0, y1) - 8 || py > Math.max(y0, y1) + 8) {
    return Infinity;
  }
  let [best, ax, ay] = [Infinity, x0, y0];
  for (let part = 1; part <= 8; part += 1) {
    const [t, u] = [part / 8, 1 - part / 8];
    const [bx, by] = [u * u * x0 + 2 * u * t * cx + t * t * x1,
      u * u * y0 + 2 * u * t * cy + t * t * y1];
    const [dx, dy] = [bx - ax, by - ay];
    const along = ((px - ax) * dx + (py - ay) * dy) / (dx * dx + dy * dy || 1);
    const near = Math.min(1, Math.max(0, along));
    best = Math.min(best, Math.hypot(ax + near * dx - px, ay + near * dy - py));
    [ax, ay] = [bx, by];
  }
  return best;
}

function point(event) {
  const { left, top } = stage.getBoundingClientRect();
  const [px, py] = [event.clientX - left, event.clientY - top];
  const hit = px > NAMES && py > AXIS && py < height - OVERVIEW ? at(px, py) : null;
  stage.classList.toggle("points", Boolean(hit?.entry));
  if (!kept) view.lit = hit?.entry ? sameMessage(hit.entry) : new Set();
  if (kept) view.lit = new Set([...sameMessage(kept), ...(hit?.entry ? sameMessage(hit.entry) : [])]);
  tell(hit, event);
  redraw();
  return hit;
}

function tell(hit, event) {
  $("tip").hidden = !hit;
  if (!hit) return;
  const { entry, band } = hit;
  const parts = band
    ? [element("b", band.text), element("span", `${clock(band.from)} – ${clock(band.until)}, `
      + duration(band.until - band.from))]
    : [element("b", entry.text), element("span", who(entry)), element("span", when(entry))];
  if (entry) {
    const belongs = [roomName(entry) && `room ${roomName(entry)}`,
      entry.connection !== null && `connection ${entry.connection}`,
      entry.messages.length > 0 && `message ${entry.messages.join(", ")}`].filter(Boolean);
    if (belongs.length > 0) parts.push(element("span", belongs.join(" · ")));
  }
  $("tip").replaceChildren(...parts);
  const [wide, tall] = [$("tip").offsetWidth, $("tip").offsetHeight];
  $("tip").style.left = `${Math.min(event.clientX + 14, innerWidth - wide - 8)}px`;
  $("tip").style.top = `${Math.min(event.clientY + 14, innerHeight - tall - 8)}px`;
}

const when = (entry) => entry.arrow && entry.at > entry.sent
  ? `sent at ${clock(entry.sent)}, heard at ${clock(entry.at)}, after `
    + duration(entry.at - entry.sent)
  : `at ${clock(entry.at)}`;

// Dragging moves the picture; along the axis, or with the shift key, it selects a stretch.
let drag = null;
stage.onpointerdown = (event) => {
  if (event.button !== 0) return;
  const { left, top } = stage.getBoundingClientRect();
  const [px, py] = [event.clientX - left, event.clientY - top];
  if (px > stage.clientWidth) return;
  if (py > height - OVERVIEW) return centre(px);
  drag = { px, py, selects: event.shiftKey || py < AXIS, ...view, top: stage.scrollTop, far: 0 };
};
function centre(px) {
  const middle = begin + (px - NAMES) / (width - NAMES) * (end - begin);
  const half = (view.until - view.from) / 2;
  look(middle - half, middle + half);
}
onpointermove = (event) => {
  if (!drag) return event.target === canvas ? point(event) : tell(null);
  const { left, top } = stage.getBoundingClientRect();
  const [dx, dy] = [event.clientX - left - drag.px, event.clientY - top - drag.py];
  drag.far = Math.max(drag.far, Math.hypot(dx, dy));
  if (drag.far < 4) return;
  tell(null);
  stage.classList.add(drag.selects ? "selects" : "drags");
  if (drag.selects) {
    draw();
    brush.fillStyle = colours.accent;
    brush.globalAlpha = 0.2;
    brush.fillRect(drag.px, 0, dx, height);
    brush.globalAlpha = 1;
    return;
  }
  const by = dx / (width - NAMES) * (drag.until - drag.from);
  stage.scrollTop = drag.top - dy;
  look(drag.from - by, drag.until - by);
};
onpointerup = (event) => {
  if (!drag) return;
  const { px, selects, far } = drag;
  drag = null;
  stage.classList.remove("selects", "drags");
  if (far < 4) {
    const hit = point(event);
    keep(hit?.entry ?? null);
  } else if (selects) {
    const to = event.clientX - stage.getBoundingClientRect().left;
    look(timeAt(Math.max(NAMES, Math.min(px, to))), timeAt(Math.max(px, to)));
  }
  redraw();
};
stage.onpointerleave = () => { if (!drag) tell(null); };
stage.onscroll = redraw;
stage.addEventListener("wheel", (event) => {
  event.preventDefault();
  if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
    return move((event.deltaX || event.deltaY) / 1200);
  }
  const px = event.clientX - stage.getBoundingClientRect().left;
  zoom(Math.exp(event.deltaY / 400), timeAt(Math.max(NAMES, px)));
}, { passive: false });

const keys = {
  "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1 / 0.6), "−": () => zoom(1 / 0.6),
  0: showAll, f: showFailure, ArrowLeft: () => move(-0.2), ArrowRight: () => move(0.2),
  ArrowUp: () => { stage.scrollTop -= 2 * ROW; }, ArrowDown: () => { stage.scrollTop += 2 * ROW; },
  Escape: () => keep(null),
};
onkeydown = (event) => {
  const writes = ["INPUT", "SELECT"].includes(event.target.tagName);
  if (writes || event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
  if (event.target.closest("#list") && event.key.startsWith("Arrow")) return;
  event.preventDefault();
  keys[event.key]();
  redraw();
};

function filter() {
  view.room = $("room").value === "" ? null : Number($("room").value);
  [view.word, view.lines] = [$("who").value, $("lines").value];
  sift();
  arrange();
  redraw();
}

function start() {
  document.title = $("title").textContent = story.title;
  const facts = [`${entries.length} events from ${clock(begin)} to ${clock(end)}`,
    story.forgotten > 0 && `${story.forgotten} earlier ones are not kept`,
    story.replay && `again: ${story.replay}`];
  $("facts").textContent = facts.filter(Boolean).join(" · ");
  story.rooms.forEach((name, number) => $("room").append(new Option(name, number)));
  $("names").replaceChildren(...lanes.map((lane) => new Option(lane.name)));
  if (story.broken !== null) {
    const { number, sentence } = story.promise ?? {};
    $("verdict").hidden = false;
    $("which").textContent = number ? `Promise ${number} was broken` : "The run broke";
    $("promised").textContent = sentence ? `What is promised: ${sentence}` : "";
    $("what").textContent = `What happened: ${story.broken}`;
    $("how").open = true;
  }
  for (const name of ["room", "lines"]) $(name).onchange = filter;
  $("who").oninput = filter;
  $("tools").onsubmit = (event) => event.preventDefault();
  $("in").onclick = () => zoom(0.6);
  $("out").onclick = () => zoom(1 / 0.6);
  $("all").onclick = showAll;
  $("jump").onclick = showFailure;
  $("back").onclick = () => { keep(broken?.messages.length > 0 ? broken : null); redraw(); };
  new ResizeObserver(() => { draw(); arrange(); redraw(); }).observe(stage);
  matchMedia("(prefers-color-scheme: dark)").onchange = () => { dress(); redraw(); };
  $("lines").value = view.lines;
  dress();
  sift();
  draw();
  if (broken) showFailure();
  else { showAll(); list(); }
  arrange();
  draw();
}

function dress() {
  readColours();
  $("legend").replaceChildren(...kinds.map((kind) => {
    const made = element("span", "");
    const sample = element("i", "");
    sample.style.color = kindColour(kind);
    made.append(sample, kind);
    return made;
  }));
}

start();
