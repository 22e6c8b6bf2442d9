// The picture: what is in view, drawn from what is shown of whom. It knows no mouse.

const canvas = document.querySelector("#picture");
const stage = document.querySelector("#stage");
const brush = canvas.getContext("2d");
const NAMES = 190, AXIS = 30, OVERVIEW = 26, ROW = 26, HEADING = 22;
// No more arrows are drawn than this: then one stands for all that are on about the same pixels.
const THIN = 3000;
// A group of so few lanes is always there. So few arrows that are lit say what they are.
const FEW = 8, LABELS = 14;

// What is seen: virtual nanoseconds at the left and right, what it is filtered by, what is lit.
const view = { from: begin, until: end, room: null, word: "", lines: "seen", lit: new Set() };
let rows = new Map(), headings = [], shown = [], hits = [], colours = {}, width = 0, height = 0;

const x = (at) => NAMES + (at - view.from) / (view.until - view.from) * (width - NAMES);
const timeAt = (px) => view.from + (px - NAMES) / (width - NAMES) * (view.until - view.from);
const y = (lane) => rows.get(lane) - stage.scrollTop;

const paints = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);
const kinds = [...new Set(entries.filter((entry) => entry.arrow).map((entry) => entry.kind))];
const kindColour = (kind) =>
  colours[["first", "third", "second", "fourth"][Math.min(kinds.indexOf(kind), 3)]];
function readColours() {
  for (const name of ["paper", "ink", "soft", "line", "accent", "bad", "fault", "band", "calm",
    "opened", "first", "second", "third", "fourth", "lit"]) colours[name] = paints(name).trim();
}

// Entries that the room and the word let through, whenever they are.
function sift() {
  const word = view.word.trim().toLowerCase();
  const exact = lanes.find((lane) => lane.name.toLowerCase() === word);
  const says = (entry) => exact ? entry.from === exact.id || entry.to === exact.id
    : `${who(entry)} ${entry.text}`.toLowerCase().includes(word);
  shown = entries.filter((entry) => entry.kind === "broken"
    || (view.room === null || entry.room === view.room) && (word === "" || says(entry)));
}

// Whom a promise was broken to stands first, then who said what it is about.
const speaker = carriers.get(broken?.messages[0])?.find((entry) => entry.arrow)?.from;
const rank = (lane) => (lane.id === broken?.from ? 0 : lane.id === speaker ? 1 : 2);

// Which lanes have a line, and where: all, or those of what is in view.
function arrange() {
  const busy = new Set();
  const about = view.lines === "about" && view.lit.size > 0;
  for (const entry of about ? view.lit : shown) {
    const seen = entry.at >= view.from && entry.sent <= view.until;
    if (about || seen || view.lines === "all") busy.add(entry.from).add(entry.to);
  }
  if (broken) busy.add(broken.from);
  rows = new Map();
  headings = [];
  let at = AXIS;
  for (const group of groups) {
    const all = lanes.filter((lane) => lane.group === group);
    const every = all.length <= FEW || view.lines === "all" && view.room === null && view.word === "";
    const here = all.filter((lane) => every || busy.has(lane.id));
    if (here.length === 0) continue;
    here.sort((one, other) => rank(one) - rank(other));
    headings.push({ group, at, hidden: all.length - here.length });
    at += HEADING;
    for (const lane of here) {
      rows.set(lane.id, at + ROW / 2);
      at += ROW;
    }
  }
  document.querySelector("#height").style.height =
    `${Math.max(0, at + OVERVIEW + 12 - height)}px`;
}

function draw() {
  const scale = devicePixelRatio || 1;
  [width, height] = [stage.clientWidth, stage.clientHeight];
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  brush.setTransform(scale, 0, 0, scale, 0, 0);
  brush.clearRect(0, 0, width, height);
  brush.font = "12px system-ui, sans-serif";
  brush.textBaseline = "middle";
  hits = [];
  brush.save();
  brush.beginPath();
  brush.rect(NAMES, 0, width - NAMES, height);
  brush.clip();
  drawBands();
  drawLines();
  drawArrows();
  drawMarks();
  drawBroken();
  brush.restore();
  drawNames();
  drawAxis();
  drawOverview();
}

const row = (lane) => rows.has(lane) && y(lane) > AXIS - ROW && y(lane) < height + ROW;

function drawBands() {
  for (const band of bands) {
    if (band.until < view.from || band.from > view.until) continue;
    const [left, right] = [Math.max(NAMES, x(band.from)), Math.min(width, x(band.until))];
    const wide = Math.max(2, right - left);
    brush.fillStyle = band.calm ? colours.calm : colours.band;
    const label = (top) => {
      if (wide < brush.measureText(band.text).width + 8) return;
      brush.globalAlpha = 1;
      brush.fillStyle = band.calm ? colours.calm : colours.fault;
      brush.fillText(band.text, left + 4, top);
      brush.fillStyle = band.calm ? colours.calm : colours.band;
    };
    if (band.everywhere) {
      brush.globalAlpha = band.calm ? 0.06 : 0.16;
      brush.fillRect(left, AXIS, wide, height);
      label(height - OVERVIEW - 12);
      hits.push({ band, left, right: left + wide, top: AXIS, bottom: height - OVERVIEW });
    } else {
      for (const lane of band.lanes) {
        if (!row(lane)) continue;
        brush.globalAlpha = 0.3;
        brush.fillRect(left, y(lane) - ROW / 2 + 2, wide, ROW - 4);
        label(y(lane) - 8);
        const [top, bottom] = [y(lane) - ROW / 2, y(lane) + ROW / 2];
        hits.push({ band, left, right: left + wide, top, bottom });
      }
    }
  }
  brush.globalAlpha = 1;
}

function drawLines() {
  for (const lane of lanes) {
    if (!row(lane.id)) continue;
    const at = Math.round(y(lane.id)) + 0.5;
    const line = (from, until) => {
      brush.beginPath();
      brush.moveTo(Math.max(NAMES, x(from)), at);
      brush.lineTo(Math.min(width, x(until)), at);
      brush.stroke();
    };
    brush.strokeStyle = colours.line;
    brush.lineWidth = 1;
    line(view.from, view.until);
    brush.lineWidth = 3;
    for (const [from, until] of lane.open) {
      if (until >= view.from && from <= view.until) line(from, until);
    }
  }
}

// Arrows of one moment would lie on each other: they bend, the longer the more.
function bend(entry) {
  const [x0, y0, x1, y1] = [x(entry.sent), y(entry.from), x(entry.at), y(entry.to)];
  const steep = Math.max(0, 1 - Math.abs(x1 - x0) / 40);
  const out = steep * Math.min(26, 4 + Math.abs(y1 - y0) / 14);
  return [x0, y0, (x0 + x1) / 2 - out, (y0 + y1) / 2, x1, y1];
}

function trace(path, entry, head) {
  const [x0, y0, cx, cy, x1, y1] = bend(entry);
  if (entry.from === entry.to) {
    path.moveTo(x0, y0);
    path.bezierCurveTo(x0, y0 - ROW / 2, x1, y1 - ROW / 2, x1, y1);
    return;
  }
  path.moveTo(x0, y0);
  path.quadraticCurveTo(cx, cy, x1, y1);
  if (!head) return;
  const angle = Math.atan2(y1 - cy, x1 - cx);
  for (const turn of [-0.45, 0.45]) {
    path.moveTo(x1, y1);
    path.lineTo(x1 - 7 * Math.cos(angle + turn), y1 - 7 * Math.sin(angle + turn));
  }
}

// Arrows of which a part is in view, of those lanes that have a line.
function arrowsInView() {
  const tops = lanes.map((lane) => (rows.has(lane.id) ? y(lane.id) : NaN));
  const seen = [];
  for (let index = firstSince(view.from); index < shown.length; index += 1) {
    const entry = shown[index];
    if (!entry.arrow || entry.sent > view.until) continue;
    const [one, other] = [tops[entry.from], tops[entry.to]];
    if (Math.max(one, other) > AXIS - ROW && Math.min(one, other) < height + ROW) seen.push(entry);
  }
  return seen;
}

// The place of the first entry that is shown and was not heard before a moment.
function firstSince(moment) {
  let [low, high] = [0, shown.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (shown[middle].at < moment) low = middle + 1;
    else high = middle;
  }
  return low;
}

// Of arrows that look alike one is enough; the more there are, the less alike they must look.
function thinned(seen) {
  if (seen.length <= THIN) return seen;
  for (let grain = 1; grain < width; grain *= 2) {
    const [taken, left] = [new Set(), []];
    for (const entry of seen) {
      const [start, stop] = [Math.round(x(entry.sent) / grain), Math.round(x(entry.at) / grain)];
      const key = ((entry.from * lanes.length + entry.to) * 8192 + start % 8192) * 8192 + stop % 8192;
      if (taken.has(key)) continue;
      taken.add(key);
      left.push(entry);
      if (left.length > THIN) break;
    }
    if (left.length <= THIN) return left;
  }
  const every = Math.ceil(seen.length / THIN);
  return seen.filter((_, index) => index % every === 0);
}

function drawArrows() {
  const seen = arrowsInView();
  const drawn = thinned(seen);
  const dense = drawn.length < seen.length;
  const paths = new Map();
  for (const entry of drawn) {
    if (!paths.has(entry.kind)) paths.set(entry.kind, new Path2D());
    trace(paths.get(entry.kind), entry, !dense);
    hits.push({ entry });
  }
  brush.lineWidth = 1.25;
  brush.globalAlpha = view.lit.size > 0 ? 0.35 : dense ? 0.35 : 0.8;
  for (const [kind, path] of paths) {
    brush.strokeStyle = kindColour(kind);
    brush.stroke(path);
  }
  brush.globalAlpha = 1;
  const lit = new Path2D();
  for (const entry of view.lit) {
    if (entry.arrow && rows.has(entry.from) && rows.has(entry.to)) trace(lit, entry, true);
  }
  brush.lineWidth = 2.5;
  brush.strokeStyle = colours.lit;
  brush.stroke(lit);
  drawLabels();
}

// What is lit says what it is, as long as there is little of it.
function drawLabels() {
  const seen = [...view.lit].filter((entry) => entry.arrow && rows.has(entry.from)
    && rows.has(entry.to) && entry.at >= view.from && entry.at <= view.until);
  if (seen.length > LABELS) return;
  const taken = [];
  for (const entry of seen) {
    const [x0, , , , x1, y1] = bend(entry);
    const text = entry.text.length > 44 ? `${entry.text.slice(0, 42)}…` : entry.text;
    const wide = brush.measureText(text).width + 8;
    const left = x0 < x1 - wide ? x1 - wide - 10 : Math.min(x1 + 14, width - wide - 4);
    let top = y1 + 10;
    while (taken.some((box) => Math.abs(box.top - top) < 16 && left < box.left + box.wide
      && box.left < left + wide)) top += 16;
    taken.push({ left, top, wide });
    brush.globalAlpha = 0.85;
    brush.fillStyle = colours.paper;
    brush.fillRect(left, top - 8, wide, 16);
    brush.globalAlpha = 1;
    brush.fillStyle = colours.lit;
    brush.fillText(text, left + 4, top);
  }
}

function drawMarks() {
  const taken = new Set();
  for (const entry of shown) {
    if (entry.arrow || entry.at < view.from || entry.at > view.until || !row(entry.from)) continue;
    const key = `${entry.from} ${entry.kind} ${Math.round(x(entry.at))}`;
    if (taken.has(key)) continue;
    taken.add(key);
    drawMark(entry, x(entry.at), y(entry.from));
    hits.push({ entry, mark: true });
  }
}

function drawMark(entry, left, top) {
  const disk = (radius) => {
    brush.beginPath();
    brush.arc(left, top, radius, 0, 7);
  };
  brush.lineWidth = 2;
  if (entry.kind === "opened") {
    disk(4.5);
    brush.fillStyle = colours.opened;
    brush.fill();
  } else if (entry.kind === "closed") {
    disk(4.5);
    brush.fillStyle = colours.paper;
    brush.fill();
    brush.strokeStyle = colours.ink;
    brush.stroke();
  } else if (entry.kind === "fault") {
    brush.beginPath();
    for (const [dx, dy] of [[0, -6], [6, 0], [0, 6], [-6, 0]]) brush.lineTo(left + dx, top + dy);
    brush.fillStyle = colours.fault;
    brush.fill();
  } else if (entry.kind === "note") {
    disk(3);
    brush.fillStyle = view.lit.has(entry) ? colours.lit : colours.ink;
    brush.fill();
  }
}

// The failure: a line through everything, a ring on its lane, and its name.
function drawBroken() {
  if (!broken || broken.at < view.from || broken.at > view.until) return;
  const left = x(broken.at);
  brush.strokeStyle = brush.fillStyle = colours.bad;
  brush.lineWidth = 1.5;
  brush.setLineDash([5, 4]);
  brush.beginPath();
  brush.moveTo(left, AXIS);
  brush.lineTo(left, height - OVERVIEW);
  brush.stroke();
  brush.setLineDash([]);
  if (rows.has(broken.from)) {
    const top = y(broken.from);
    brush.lineWidth = 3;
    brush.beginPath();
    brush.arc(left, top, 11, 0, 7);
    brush.stroke();
    brush.beginPath();
    for (const side of [-1, 1]) {
      brush.moveTo(left - 5, top - 5 * side);
      brush.lineTo(left + 5, top + 5 * side);
    }
    brush.stroke();
    flag(`promise ${story.promise?.number ?? ""} broken here`.replace("  ", " "), left, top - 24);
  }
}

function flag(text, left, top) {
  brush.font = "600 12px system-ui, sans-serif";
  const wide = brush.measureText(text).width + 12;
  const at = Math.min(left + 12, width - wide - 4);
  brush.fillStyle = colours.bad;
  brush.fillRect(at, top - 9, wide, 18);
  brush.fillStyle = colours.paper;
  brush.fillText(text, at + 6, top);
  brush.font = "12px system-ui, sans-serif";
}

function drawNames() {
  brush.strokeStyle = colours.line;
  brush.lineWidth = 1;
  brush.beginPath();
  brush.moveTo(NAMES + 0.5, 0);
  brush.lineTo(NAMES + 0.5, height);
  brush.stroke();
  for (const { group, at, hidden } of headings) {
    brush.fillStyle = colours.soft;
    brush.font = "600 11px system-ui, sans-serif";
    const rest = hidden > 0 ? ` (${hidden} more)` : "";
    brush.fillText(`${group.toUpperCase()}${rest}`, 10, at + HEADING / 2 + 2 - stage.scrollTop);
  }
  for (const lane of lanes) {
    if (!row(lane.id)) continue;
    const fails = broken?.from === lane.id;
    brush.font = `${fails ? "600 " : ""}12px system-ui, sans-serif`;
    brush.fillStyle = fails ? colours.bad : colours.ink;
    brush.fillText(lane.name, 10, y(lane.id), NAMES - 16);
  }
  brush.font = "12px system-ui, sans-serif";
}

function drawAxis() {
  brush.fillStyle = colours.paper;
  brush.fillRect(0, 0, width, AXIS);
  const span = view.until - view.from;
  const rough = span / Math.max(2, (width - NAMES) / 110);
  const ten = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * ten >= rough) * ten;
  brush.strokeStyle = colours.line;
  brush.fillStyle = colours.soft;
  brush.beginPath();
  for (let at = Math.ceil(view.from / step) * step; at <= view.until; at += step) {
    const left = Math.round(x(at)) + 0.5;
    brush.moveTo(left, AXIS - 7);
    brush.lineTo(left, AXIS);
    if (left < width - 60) brush.fillText(clock(at, step), left + 4, AXIS / 2);
  }
  brush.moveTo(0, AXIS - 0.5);
  brush.lineTo(width, AXIS - 0.5);
  brush.stroke();
  brush.fillText(`${duration(span)} in view`, 10, AXIS / 2);
}

// All of the run at the bottom: how much happened when, and which stretch is in view.
const COLUMNS = 300;
const density = new Array(COLUMNS).fill(0);
const column = (at) => Math.min(COLUMNS - 1, Math.floor((at - begin) / (end - begin) * COLUMNS));
entries.forEach((entry) => { density[column(entry.at)] += 1; });
const densest = Math.max(1, ...density);

function drawOverview() {
  const top = height - OVERVIEW;
  const across = (at) => NAMES + (at - begin) / (end - begin) * (width - NAMES);
  brush.fillStyle = colours.paper;
  brush.fillRect(0, top, width, OVERVIEW);
  brush.fillStyle = colours.soft;
  brush.fillText("all of the run", 10, top + OVERVIEW / 2);
  brush.globalAlpha = 0.5;
  const wide = (width - NAMES) / COLUMNS;
  density.forEach((count, index) => {
    const tall = count === 0 ? 0 : 2 + (OVERVIEW - 6) * Math.sqrt(count / densest);
    brush.fillRect(NAMES + index * wide, height - tall, wide, tall);
  });
  brush.globalAlpha = 0.25;
  brush.fillStyle = colours.accent;
  const left = Math.max(NAMES, across(view.from));
  brush.fillRect(left, top, Math.max(3, across(view.until) - left), OVERVIEW);
  brush.globalAlpha = 1;
  if (broken) {
    brush.fillStyle = colours.bad;
    brush.fillRect(across(broken.at) - 1, top, 2, OVERVIEW);
  }
  brush.strokeStyle = colours.line;
  brush.strokeRect(-1, top + 0.5, width + 2, OVERVIEW);
}
