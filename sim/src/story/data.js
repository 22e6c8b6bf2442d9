// The story, decoded once: rows become entries, and what belongs together is found by numbers.

const story = JSON.parse(document.querySelector("#story").textContent);
const lanes = story.lanes.map(([name, group], id) => ({ id, name, group, open: [] }));
const groups = [...new Set(lanes.map((lane) => lane.group))];
const laneOf = (id) => lanes[id] ?? { id, name: "?", group: "?", open: [] };

// An arrow or a mark: `at` is when it was heard or happened, `sent` when it began.
const entries = [];
for (const [from, sent, to, heard, room, connection, messages, text] of story.arrows) {
  const kind = `${laneOf(from).group} → ${laneOf(to).group}`;
  entries.push({ arrow: true, from, to, sent, at: heard, kind, room, connection, messages, text });
}
for (const [lane, at, kind, room, connection, messages, text] of story.marks) {
  const of = { room, connection, messages, text };
  entries.push({ arrow: false, from: lane, to: lane, sent: at, at, kind, ...of });
}
// Sorting is stable: of one moment arrows come first, then marks, each as they were told.
entries.sort((one, other) => one.at - other.at);
entries.forEach((entry, index) => { entry.index = index; });

const bands = story.bands.map(([of, from, until, text]) => ({
  lanes: new Set(of), everywhere: of.length === 0, from, until: until ?? story.end, text,
  calm: text.startsWith("calm"),
}));
const broken = entries.find((entry) => entry.kind === "broken");
const begin = entries.reduce((min, entry) => Math.min(min, entry.sent),
  bands.reduce((min, band) => Math.min(min, band.from), story.end));
const end = Math.max(story.end, begin + 1);

// Entries by each message that they carry.
const carriers = new Map();
for (const entry of entries) {
  for (const message of entry.messages) {
    if (!carriers.has(message)) carriers.set(message, []);
    carriers.get(message).push(entry);
  }
}
const sameMessage = (entry) =>
  new Set([entry, ...entry.messages.flatMap((message) => carriers.get(message) ?? [])]);

// Since when and until when a lane's connection was open.
for (const entry of entries) {
  const spans = laneOf(entry.from).open;
  if (entry.kind === "opened") spans.push([entry.at, end]);
  if (entry.kind === "closed" && spans.length > 0) spans.at(-1)[1] = entry.at;
  if (entry.kind === "closed" && spans.length === 0) spans.push([begin, entry.at]);
}

const roomName = (entry) => (entry.room === null ? "" : story.rooms[entry.room]);
const who = (entry) => entry.arrow
  ? `${laneOf(entry.from).name} → ${laneOf(entry.to).name}` : laneOf(entry.from).name;

// Virtual nanoseconds, so exact that two moments `step` apart differ.
const clock = (nanos, step = 1e6) => {
  const digits = Math.max(0, Math.min(9, Math.ceil(-Math.log10(step / 1e9) - 1e-9)));
  return `${(nanos / 1e9).toFixed(digits)} s`;
};
const duration = (nanos) => nanos >= 1e9 ? `${+(nanos / 1e9).toFixed(3)} s`
  : nanos >= 1e6 ? `${+(nanos / 1e6).toFixed(3)} ms` : `${+(nanos / 1e3).toFixed(3)} µs`;
