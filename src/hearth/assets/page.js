// Run the page: read the form, ask the service, draw its answers. The facts stand in the page, made from the contract.

const facts = JSON.parse(document.getElementById("facts").textContent);
const $ = (id) => document.getElementById(id);
const form = $("house");
const fields = new Map([...form.querySelectorAll(".field")].map((box) => [box.dataset.column, fieldOf(box)]));
const WAIT_MS = 10_000; // for an answer; then the service counts as gone
const AGAIN_MS = 2000; // after which a busy service is asked for its reasons again
const BARS = 8; // contributions with a bar of their own
const STEPS = 240; // of a slider that does not move by amounts
let token = "";
let changed = ""; // the column that was touched last; what two columns break is said there

// ---- money and numbers

const plain = new Intl.NumberFormat("en", { maximumSignificantDigits: 12 });
const spelt = (options) => {
  const { currency, unit } = facts.target;
  const style = currency ? { style: "currency", currency, currencyDisplay: "narrowSymbol" } : {};
  const format = new Intl.NumberFormat("en", { ...style, ...options });
  return (value) => format.format(value).replace("-", "−") + (currency ? "" : ` ${unit}`);
};
const digits = facts.target.whole ? 0 : 2;
const money = spelt({ maximumFractionDigits: digits });
const signed = spelt({ maximumFractionDigits: 0, signDisplay: "exceptZero" });
const short = spelt({ notation: "compact", maximumSignificantDigits: 3 });
const percent = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1, signDisplay: "exceptZero" });
const share = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });

// ---- fields

function fieldOf(box) {
  const input = box.querySelector("[name]");
  return { box, input, slider: box.querySelector("[type=range]"), error: box.querySelector(".error"), type: box.dataset.type };
}

function valueOf({ input, type }) {
  if (input.type === "checkbox") return input.checked;
  if (input.value === "") return null;
  if (type === "boolean") return input.value === "true";
  return type === "integer" || type === "number" ? Number(input.value) : input.value;
}

function setValue(column, value) {
  const field = fields.get(column);
  field.input.value = String(value);
  if (field.slider) field.slider.moveTo(value);
}

/** Return the request: every field by name, without those that may be left out and are empty. */
function house() {
  const found = {};
  for (const [column, field] of fields) {
    const value = valueOf(field);
    if (value !== null || field.input.required) found[column] = value;
  }
  return found;
}

const rounded = (value, step) => Number((Math.round(value / step) * step).toFixed(8));

/** Give a slider its way from positions to values and back: by amounts, by shares, or with zero apart from the rest. */
function equip(field) {
  const { slider } = field;
  const [from, to, step] = ["from", "to", "step"].map((name) => Number(slider.dataset[name]));
  const within = (value) => Math.min(to, Math.max(from, value));
  const round = (value) => rounded(within(value), step);
  const rough = (value) => Number(value.toPrecision(3));
  const ways = {
    amounts: [from, to, step, round, within],
    shares: [0, STEPS, 1, (at) => round(rough(from * (to / from) ** (at / STEPS))), (value) => STEPS * Math.log(within(value) / from) / Math.log(to / from)],
    apart: [-Math.ceil((to - from) / 20 / step), Math.round((to - from) / step), 1, (at) => (at < 0 ? 0 : round(from + at * step)), (value) => (value < from ? slider.min : (within(value) - from) / step)],
  };
  const [least, most, by, valueAt, placeOf] = ways[slider.dataset.way];
  Object.assign(slider, { min: least, max: most, step: by });
  slider.moveTo = (value) => {
    slider.value = value === null ? least : placeOf(value);
    slider.setAttribute("aria-valuetext", value === null ? "empty" : plain.format(value));
  };
  slider.addEventListener("input", () => {
    setValue(field.input.name, valueAt(Number(slider.value)));
    touched(field.input.name);
  });
  slider.moveTo(valueOf(field));
}

/** Keep `part + part = total` true after one of them changed: a total moves its first part, a part moves its total. */
function keepSums(column) {
  const at = (name) => valueOf(fields.get(name)) ?? 0;
  for (const { total, parts } of facts.sums) {
    if (parts.includes(column)) setValue(total, parts.reduce((sum, name) => sum + at(name), 0));
    if (column !== total) continue;
    const least = (name) => Number(fields.get(name).input.min || -Infinity);
    let left = at(total) - parts.reduce((sum, name) => sum + at(name), 0);
    for (const name of parts) {
      const moved = Math.max(least(name), at(name) + left);
      left -= moved - at(name);
      setValue(name, moved);
    }
  }
}

function touched(column) {
  changed = column;
  keepSums(column);
  refresh();
}

function refresh() {
  $("curl").textContent = curlLine();
  $("why").classList.add("stale");
  prices.ask();
  reasons.ask();
}

// ---- asking

/** Ask a route: at most one request at a time, always with the newest form, never showing what was overtaken. */
class Asker {
  constructor(path, waitMs, show) {
    Object.assign(this, { path, waitMs, show, wanted: false, running: null });
  }

  ask(at = this.waitMs) {
    clearTimeout(this.timer);
    this.wanted = true;
    if (this.waitMs) this.control?.abort("overtaken");
    return new Promise((done) => { this.timer = setTimeout(() => this.run().then(done), at); });
  }

  run() {
    this.running ??= this.answered().finally(() => { this.running = null; });
    return this.running;
  }

  async answered() {
    while (this.wanted) {
      this.wanted = false;
      this.control = new AbortController();
      const late = setTimeout(() => this.control.abort("late"), WAIT_MS);
      const answer = await send(this.path, house(), this.control.signal);
      clearTimeout(late);
      if (!this.wanted || answer.status === 200) this.show(answer);
    }
  }
}

async function send(path, body, signal) {
  const headers = { "content-type": "application/json", "x-hearth-via": "page", ...(token && { authorization: `Bearer ${token}` }) };
  try {
    const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body), signal });
    return { status: answer.status, body: await answer.json().catch(() => ({})) };
  } catch {
    return { status: 0, body: {}, overtaken: signal.reason === "overtaken" };
  }
}

const prices = new Asker("/predict", 0, showPrice);
const reasons = new Asker("/explain", 250, showReasons);

// ---- the price

function showPrice({ status, body }) {
  clearFaults();
  $("token").hidden = status !== 401;
  const fine = status === 200;
  $("price").classList.toggle("stale", !fine);
  if (!fine) return showTrouble(status, body);
  const range = `${money(body.low)} to ${money(body.high)}`;
  $("amount").textContent = money(body.price);
  $("range").replaceChildren(make("span", {}, range), " ", make("small", {}, `${share.format(facts.level)} interval`));
  $("warnings").replaceChildren(...body.warnings.map((said) => make("li", {}, spoken(said))));
  $("warnings").hidden = !body.warnings.length;
  drawScale(body);
  say(`Price ${money(body.price)}, interval ${range}. ${body.warnings.map(spoken).join(". ")}`);
}

/** Name the column at the beginning of a warning as the form does. */
function spoken(warning) {
  return warning.replace(/^[^:]+(?=:)/, (column) => facts.labels[column] ?? column);
}

function drawScale({ price, low, high }) {
  const { heights } = facts.scale;
  const ends = [Math.min(facts.scale.from, low), Math.max(facts.scale.to, high)];
  const at = (value) => 100 * Math.log(value / ends[0]) / Math.log(ends[1] / ends[0]);
  const [left, right] = [at(facts.scale.from), at(facts.scale.to)];
  const step = (right - left) / heights.length;
  const points = heights.map((height, place) => `${left + (place + 0.5) * step},${100 - height}`);
  const svg = draw("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", "aria-hidden": "true" },
    draw("polygon", { class: "hill", points: `${left},100 ${points.join(" ")} ${right},100` }));
  const band = $("scale").querySelector(".band") ?? make("div", { class: "band" });
  const mark = $("scale").querySelector(".mark") ?? make("div", { class: "mark" });
  Object.assign(band.style, { left: `${at(low)}%`, width: `${at(high) - at(low)}%` });
  mark.style.left = `${at(price)}%`;
  const ticks = roundNumbers(ends).filter((value) => at(value) > 4 && at(value) < 96).map((value) => {
    const tick = make("span", { class: "tick" }, short(value));
    tick.style.left = `${at(value)}%`;
    return tick;
  });
  for (const old of $("scale").querySelectorAll("svg, .tick, .rule")) old.remove();
  $("scale").prepend(svg, make("div", { class: "rule" }));
  $("scale").append(band, mark, ...ticks);
  $("scale").setAttribute("aria-label", `${money(price)} with its interval from ${money(low)} to ${money(high)}, on a scale of the known prices from ${short(ends[0])} to ${short(ends[1])}`);
}

/** Return 1, 2 and 5 times powers of ten between two numbers; fewer of them where they would touch. */
function roundNumbers([from, to]) {
  const found = [];
  const wide = Math.log10(to / from);
  const kept = wide > 3 ? [1] : [1, 2, 5];
  for (let power = Math.floor(Math.log10(from)); power <= Math.log10(to); power++) {
    for (const digit of kept) found.push(digit * 10 ** power);
  }
  return found.filter((value) => value >= from && value <= to);
}

let saying;
function say(text) {
  clearTimeout(saying);
  saying = setTimeout(() => { $("said").textContent = text; }, 600);
}

// ---- what went wrong

function showTrouble(status, body) {
  const marked = status === 422 ? markFaults(body.detail ?? []) : [];
  const words = {
    0: "The service did not answer. Is it still running? Change a value to try again.",
    401: token ? "The service did not accept the token." : "The service wants its access token.",
    429: "The service is busy. Wait a moment and try again.",
    503: "The service is busy. Wait a moment and try again.",
  };
  const known = marked.length ? `No price yet: see ${marked.join(", ")}.` : words[status];
  $("trouble").textContent = known ?? `The service says: ${body.error ?? `status ${status}`}.`;
  $("trouble").hidden = false;
}

/** Put each entry of a 422 next to its field, or to the one of its fields that was touched last; return their labels. */
function markFaults(entries) {
  const marked = new Set();
  for (const { field, expected } of entries) {
    const columns = field.split(", ").filter((name) => fields.has(name));
    if (!columns.length) continue;
    const shown = columns.includes(changed) ? changed : columns[0];
    const check = facts.checks[/\((\w+)\)$/.exec(expected)?.[1]];
    const { error } = fields.get(shown);
    const said = check ?? `Wanted: ${expected.replace(", and the field is missing", "")}.`;
    error.textContent = error.hidden ? said : `${error.textContent} ${said}`;
    error.hidden = false;
    for (const name of columns) fields.get(name).input.setAttribute("aria-invalid", "true");
    marked.add(facts.labels[shown]);
  }
  return [...marked];
}

function clearFaults() {
  $("trouble").hidden = true;
  for (const { input, error } of fields.values()) {
    input.removeAttribute("aria-invalid");
    error.hidden = true;
  }
}

// ---- the contributions

function showReasons({ status, body, overtaken }) {
  if (overtaken) return;
  if (status === 429 || status === 503) setTimeout(() => reasons.ask(), AGAIN_MS);
  $("why").hidden = status !== 200 && !$("bars").childElementCount;
  if (status !== 200) return;
  $("why").classList.remove("stale");
  const parts = body.contributions.filter((part) => Math.round(part.amount)).sort((a, b) => Math.abs(b.amount) - Math.abs(a.amount));
  const most = Math.max(...parts.map((part) => Math.abs(part.amount)), 1);
  const same = body.contributions.length - parts.length;
  const doubt = 2 * Math.max(...body.contributions.map((part) => part.standard_error));
  const own = house();
  const rows = parts.slice(0, BARS).map((part) => bar(part, most, told(part.columns, own, body.typical)));
  const small = parts.slice(BARS);
  if (small.length) rows.push(bar(together(small), most, [`${small.length} smaller ones`, ""]));
  $("base").textContent = `Beginning with a typical price of ${money(Math.round(body.base))}:`;
  $("bars").replaceChildren(...rows);
  $("rest").textContent = [
    same ? `${same === 1 ? "One more is" : `${same} more are`} as in the typical house.` : "",
    Math.round(doubt) ? `Amounts are right to about ${money(Number(doubt.toPrecision(1)))}.` : "",
  ].join(" ");
}

function together(parts) {
  const factor = parts.reduce((product, part) => product * (1 + part.percent / 100), 1);
  return { amount: parts.reduce((sum, part) => sum + part.amount, 0), percent: 100 * (factor - 1) };
}

/** Return what a group of columns is called, and its values beside the typical ones: the place by its name, a sum by its total. */
function told(columns, own, typical) {
  const located = facts.place?.columns.filter(Boolean) ?? [];
  const total = facts.sums.find((sum) => [sum.total, ...sum.parts].every((name) => columns.includes(name)));
  let [name, kept] = [columns.map((column) => facts.labels[column]).join(", "), columns];
  if (located.length && located.every((column) => columns.includes(column))) {
    [name, kept] = ["Place", facts.place.columns[0] ? [facts.place.columns[0]] : located];
  } else if (total && columns.length === total.parts.length + 1) {
    [name, kept] = [facts.labels[total.total], [total.total]];
  }
  const values = (from) => kept.map((column) => shown(column, from[column])).join(", ");
  return [name, `${values(own)} · typical ${values(typical)}`];
}

function bar({ amount, percent: change }, most, [name, values]) {
  const what = make("span", { class: "what" }, name);
  what.append(" ", make("small", {}, values));
  const drawn = make("span", { class: amount < 0 ? "bar less" : "bar more" });
  const wide = 50 * Math.abs(amount) / most;
  Object.assign(drawn.style, { width: `${wide}%`, left: `${amount < 0 ? 50 - wide : 50}%` });
  const track = make("span", { class: "track", "aria-hidden": "true" });
  track.append(drawn);
  const row = make("li", {});
  row.append(what, " ", track, make("span", { class: "sum" }, signed(amount)), " ", make("span", { class: "share" }, percent.format(change / 100).replace("-", "−")));
  return row;
}

function shown(column, value) {
  if (value === null || value === undefined) return "left out";
  if (typeof value === "boolean") return value ? "yes" : "no";
  const grouped = typeof value === "number" && fields.get(column).input.type === "number" && value >= 10_000;
  return grouped ? plain.format(value) : String(value);
}

// ---- the map

function drawMap({ columns: [label, lat, long], box: [south, north, west, east], dots, middles, towns }) {
  const high = 100 * (north - south) / ((east - west) * Math.cos((south + north) / 360 * Math.PI) || 1);
  const [width, height, edge] = [340, Math.min(440, Math.max(150, 3.4 * high)), 10];
  const x = (value) => edge + (width - 2 * edge) * (value - west) / (east - west || 1);
  const y = (value) => height - edge - (height - 2 * edge) * (value - south) / (north - south || 1);
  const known = [];
  for (let at = 0; at < dots.length; at += 3) known.push([edge + (width - 2 * edge) * dots[at] / 1000, height - edge - (height - 2 * edge) * dots[at + 1] / 1000, dots[at + 2]]);
  const path = (some) => some.map(([a, b]) => `M${a.toFixed(1)} ${b.toFixed(1)}h0`).join("");
  const stroke = { fill: "none", "stroke-width": 2.8, "stroke-linecap": "round" };
  const here = draw("path", { class: "here", ...stroke });
  const pin = draw("g", {}, draw("circle", { class: "halo", r: 10 }), draw("circle", { class: "pin", r: 5.5 }));
  const names = townNames(towns.map(([name, townLat, townLong]) => [name, x(townLong), y(townLat)]), width, height);
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height.toFixed(0)}`, "aria-hidden": "true" },
    draw("path", { class: "dots", ...stroke, d: path(known) }), here, ...names, pin);
  $("map").append(svg);

  const inputs = [lat, long].map((name) => fields.get(name).input);
  const limits = (input, value) => Math.min(Number(input.max || Infinity), Math.max(Number(input.min || -Infinity), value));
  const show = () => {
    const [b, a] = inputs.map((input) => Number(input.value));
    pin.setAttribute("transform", `translate(${Math.min(width, Math.max(0, x(a)))} ${Math.min(height, Math.max(0, y(b)))})`);
    const kind = label ? fields.get(label).input.selectedIndex - (fields.get(label).input.required ? 0 : 1) : -1;
    here.setAttribute("d", path(known.filter((dot) => dot[2] === kind && kind >= 0)));
  };
  const pick = (a, b) => {
    inputs[0].value = limits(inputs[0], south + (height - edge - b) / (height - 2 * edge) * (north - south)).toFixed(4);
    inputs[1].value = limits(inputs[1], west + (a - edge) / (width - 2 * edge) * (east - west)).toFixed(4);
    const far = ([c, d]) => (a - c) ** 2 + (b - d) ** 2;
    const nearest = known.reduce((best, dot) => (far(dot) < far(best) ? dot : best));
    if (label && nearest[2] >= 0) fields.get(label).input.selectedIndex = nearest[2] + (fields.get(label).input.required ? 0 : 1);
    show();
    touched(lat);
    const where = inputs.map((input) => input.value).join(", ");
    $("map").setAttribute("aria-label", `Map of known sales, mark at ${label ? `${fields.get(label).input.value}, ` : ""}${where}`);
  };
  const at = (event) => {
    const frame = svg.getBoundingClientRect();
    pick((event.clientX - frame.left) / frame.width * width, (event.clientY - frame.top) / frame.height * height);
  };
  $("map").addEventListener("click", at);
  $("map").addEventListener("pointermove", (event) => { if (event.buttons === 1 && event.pointerType === "mouse") at(event); });
  $("map").addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way) return;
    event.preventDefault();
    const by = event.shiftKey ? 15 : 3;
    const [b, a] = inputs.map((input) => Number(input.value));
    pick(x(a) + by * way[0], y(b) + by * way[1]);
  });
  if (label) {
    fields.get(label).input.addEventListener("input", ({ target }) => {
      const middle = middles[target.selectedIndex - (target.required ? 0 : 1)];
      if (middle) inputs.forEach((input, place) => { input.value = middle[place]; });
    });
  }
  form.addEventListener("input", show);
  form.addEventListener("reset", () => setTimeout(show));
  show();
}

/** Name the towns on the map: right of their dot, else left of it, or not at all where names would touch. */
function townNames(towns, width, height) {
  const [taken, drawn] = [[], []];
  for (const [name, a, b] of towns) {
    const long = 7.4 * name.length + 8;
    const sides = [[a + 7, "start", a - 4, a + long], [a - 7, "end", a - long, a + 4]];
    if (taken.some(([, , at, dot]) => Math.hypot(dot - a, at - b) < 22)) continue; // a suburb of one that is named
    const free = ([, , from, to]) => from > 0 && to < width && b > 8 && b < height - 8
      && taken.every(([left, right, at]) => Math.abs(at - b) > 14 || to < left || from > right);
    const side = sides.find(free);
    if (!side) continue;
    taken.push([side[2], side[3], b, a]);
    drawn.push(draw("circle", { class: "town", cx: a, cy: b, r: 2.2 }), draw("text", { x: side[0], y: b + 4, "text-anchor": side[1] }, name));
  }
  return drawn;
}

// ---- the line for a terminal

function curlLine() {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const key = token || !$("token").hidden ? ' \\\n  -H "authorization: Bearer $HEARTH_TOKEN"' : "";
  return `curl -s ${location.origin}/predict -H 'content-type: application/json'${key} \\\n  -d ${quoted(JSON.stringify(house()))}`;
}

async function copyLine() {
  try {
    await navigator.clipboard.writeText($("curl").textContent);
    $("copy").textContent = "Copied";
    setTimeout(() => { $("copy").textContent = "Copy"; }, 2000);
    say("Copied");
  } catch { // no clipboard without https: leave it marked, one key away
    getSelection().selectAllChildren($("curl"));
    say("The line is selected; copy it with the keyboard");
  }
}

// ---- elements

function make(name, attributes, text = "") {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

function draw(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// ---- start

async function submit(event) {
  event.preventDefault();
  await Promise.all([prices.ask(), reasons.ask(0)]);
  const wrong = form.querySelector("[aria-invalid=true]");
  if (wrong) return wrong.focus();
  $("price").scrollIntoView({ block: "nearest" });
}

for (const field of fields.values()) if (field.slider) equip(field);
if (facts.place) drawMap(facts.place);
form.addEventListener("input", ({ target }) => {
  if (target.type === "range") return;
  const field = fields.get(target.name);
  if (field.slider) field.slider.moveTo(valueOf(field));
  touched(target.name);
});
form.addEventListener("submit", submit);
form.addEventListener("reset", () => setTimeout(() => {
  for (const field of fields.values()) field.slider?.moveTo(valueOf(field));
  refresh();
}));
$("token").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("secret").value;
  $("secret").value = "";
  refresh();
});
$("copy").addEventListener("click", copyLine);
refresh();
