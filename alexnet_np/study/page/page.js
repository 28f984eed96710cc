// The page: the map, a layer's pictures, an element's terms, im2col. Everything is read from the two blocks above.

const about = JSON.parse(document.getElementById("about-data").textContent);
const $ = (id) => document.getElementById(id);
const make = (tag, properties = {}, ...children) => { const e = Object.assign(document.createElement(tag), properties); e.append(...children); return e; };
const number = (v, digits = 4) => Number.isFinite(v) ? (v === 0 ? "0" : Math.abs(v) >= 1e-3 && Math.abs(v) < 1e5 ? String(+v.toPrecision(digits)) : v.toExponential(digits - 1)) : String(v);
const named = (layer, what, at) => `${layer}.${what}[${at.join(",")}]`;

const HALF = new Float32Array(65536);  // a 16-bit float by its bits
for (let i = 0; i < 65536; i++) {
  const sign = i >> 15 ? -1 : 1, exponent = (i >> 10) & 31, fraction = i & 1023;
  HALF[i] = exponent === 31 ? (fraction ? NaN : sign * Infinity) : exponent ? sign * 2 ** (exponent - 15) * (1 + fraction / 1024) : sign * 2 ** -14 * (fraction / 1024);
}

class Net {
  constructor(buffer) {
    this.labels = about.labels; this.layers = about.layers; this.buffer = buffer; this.views = {};
    this.by = Object.fromEntries([...this.layers, about.loss].map((l) => [l.name, l]));
  }
  layer(name) { return this.by[name]; }
  has(layer, array) { return `${layer}.${array}` in about.arrays; }
  array(layer, array) {
    const key = `${layer}.${array}`;
    if (!(key in this.views)) {
      const a = about.arrays[key]; if (!a) return null;
      const Kind = { f2: Uint16Array, u2: Uint16Array, u1: Uint8Array }[a.type], size = a.shape.reduce((p, n) => p * n, 1);
      const bits = new Kind(this.buffer, a.offset, size);
      this.views[key] = { shape: a.shape, size, at: a.type === "f2" ? (i) => HALF[bits[i]] * a.scale : (i) => bits[i] };
    }
    return this.views[key];
  }
  place(shape, at) { return at.reduce((i, k, axis) => i * shape[axis] + k, 0); }
  get(layer, array, at) { const a = this.array(layer, array); return a ? a.at(this.place(a.shape, at)) : NaN; }
  padded(layer, array, at) { const a = this.array(layer, array); return at.every((k, i) => k >= 0 && k < a.shape[i]) ? a.at(this.place(a.shape, at)) : 0; }
  marked(layer, what, at) {
    const found = about.marked[named(layer, what, at)];
    if (!found) return null;
    const before = this.by[layer].before, after = this.by[layer].after;
    const terms = found.terms.map(([product, w, wv, at2, v]) => ({ product: product ?? NaN, factors: [{ name: "w", value: wv ?? NaN, at: w, of: [layer, "weight"] },
      what === "y" ? { name: "x", value: v ?? NaN, at: at2, of: [before, "y"] } : { name: "dy", value: v ?? NaN, at: at2, of: [after, "dx"] }] }));
    return Object.assign(terms, { rest: found.rest ?? NaN, left: found.left });
  }
  terms(layer, what, at) { return new Terms(this, layer).of(what, at); }
}

// Colours: blue below zero, orange above, the page's own ground at zero; NaN magenta, infinity green.
const dark = () => matchMedia("(prefers-color-scheme: dark)").matches;
function colour(t) {
  if (Number.isNaN(t)) return [214, 39, 200];
  if (!Number.isFinite(t)) return [0, 158, 115];
  const end = t < 0 ? [33, 102, 172] : [217, 95, 2], zero = dark() ? [18, 18, 20] : [255, 255, 255], u = Math.min(1, Math.abs(t)) ** 0.7;
  return zero.map((z, i) => z + (end[i] - z) * u);
}

// The same as whole pixels, from a table of shades.
function scaleOfColours() {
  const pixel = (t) => { const [r, g, b] = colour(t); return (255 << 24 | b << 16 | g << 8 | r) >>> 0; };
  const shades = Uint32Array.from({ length: 2049 }, (_, i) => pixel(i / 1024 - 1)), nan = pixel(NaN), infinite = pixel(Infinity);
  return (v, largest) => v !== v ? nan : v === Infinity || v === -Infinity ? infinite : shades[Math.round((largest ? v / largest : 0) * 1024) + 1024];
}

// A grid of tiles, one for each channel; `element(x, y)` tells what lies under a point.
class Grid {
  static kept = new Map();
  static largest = new Map();
  constructor(net, layer, array, { zoom = 0, image = 0, still = false } = {}) {
    const a = net.array(layer, array); this.a = a; this.net = net; this.layer = layer; this.what = array; this.n = image;
    if (a.shape.length === 2) { this.W = Math.min(64, a.shape[1]); this.H = Math.ceil(a.shape[1] / this.W); this.C = 1; this.flat = a.shape[1]; }
    else [, this.C, this.H, this.W] = a.shape;
    this.columns = Math.max(1, Math.min(this.C, Math.round(Math.sqrt(this.C * this.H / this.W) * 1.25)));
    this.gap = this.C > 1 ? 1 : 0;
    this.rows = Math.ceil(this.C / this.columns);
    const wide = this.columns * (this.W + this.gap), high = this.rows * (this.H + this.gap);
    this.zoom = zoom || Math.max(1, Math.min(12, Math.floor(620 / wide), Math.floor(620 / high)));
    this.canvas = make("canvas", { width: wide * this.zoom, height: high * this.zoom, className: still ? "still" : "" });
    const key = `${layer}.${array}`, size = a.size / a.shape[0];
    if (!Grid.largest.has(key)) {
      let most = 0;
      for (let i = 0; i < size; i++) { const v = Math.abs(a.at(this.n * size + i)); if (v > most && v !== Infinity) most = v; }
      Grid.largest.set(key, most);
    }
    this.largest = Grid.largest.get(key);
    this.draw();
  }
  index(c, h, w) { return this.flat ? (h * this.W + w < this.flat ? [this.n, h * this.W + w] : null) : [this.n, c, h, w]; }
  draw(selected = null) {
    const pen = this.canvas.getContext("2d"); pen.imageSmoothingEnabled = false;
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height); pen.drawImage(this.painted(), 0, 0, this.canvas.width, this.canvas.height);
    if (selected) this.box(selected.length === 2 ? [0, Math.floor(selected[1] / this.W), selected[1] % this.W, 1, 1] : [...selected.slice(1), 1, 1]);
  }
  // A pixel for each element; painted once for each of the two grounds.
  painted() {
    const key = `${this.layer}.${this.what} ${dark()}`;
    if (Grid.kept.has(key)) return Grid.kept.get(key);
    const wide = this.columns * (this.W + this.gap), high = this.rows * (this.H + this.gap), small = new ImageData(wide, high);
    const pixels = new Uint32Array(small.data.buffer), scale = scaleOfColours(), first = this.n * this.a.size / this.a.shape[0], each = this.H * this.W, last = this.flat || this.C * each;
    for (let i = 0; i < last; i++) {
      const c = Math.floor(i / each), h = Math.floor(i % each / this.W), w = i % this.W;
      const x = c % this.columns * (this.W + this.gap) + w, y = Math.floor(c / this.columns) * (this.H + this.gap) + h;
      pixels[y * wide + x] = scale(this.a.at(first + i), this.largest);
    }
    const own = new OffscreenCanvas(wide, high); own.getContext("2d").putImageData(small, 0, 0);
    Grid.kept.set(key, own);
    return own;
  }
  box([c, h, w, high, wide]) {
    const pen = this.canvas.getContext("2d"), z = this.zoom, x = (c % this.columns * (this.W + this.gap) + w) * z, y = (Math.floor(c / this.columns) * (this.H + this.gap) + h) * z;
    pen.lineWidth = 2; pen.strokeStyle = getComputedStyle(document.body).getPropertyValue("--mark");
    pen.strokeRect(x - 1, y - 1, wide * z + 2, high * z + 2);
  }
  element(event) {
    const frame = this.canvas.getBoundingClientRect(), k = this.canvas.width / frame.width / this.zoom;
    const x = Math.floor((event.clientX - frame.left) * k), y = Math.floor((event.clientY - frame.top) * k);
    const w = x % (this.W + this.gap), h = y % (this.H + this.gap), c = Math.floor(y / (this.H + this.gap)) * this.columns + Math.floor(x / (this.W + this.gap));
    return x < 0 || y < 0 || c >= this.C || w >= this.W || h >= this.H || Math.floor(x / (this.W + this.gap)) >= this.columns ? null : this.index(c, h, w);
  }
}

function histogram({ edges, counts }) {
  const canvas = make("canvas", { width: 240, height: 60, className: "still" }), pen = canvas.getContext("2d"), most = Math.max(...counts, 1), w = 240 / counts.length;
  pen.fillStyle = getComputedStyle(document.body).getPropertyValue("--mark");
  counts.forEach((n, i) => { const high = n ? 2 + 56 * Math.log1p(n) / Math.log1p(most) : 0; pen.fillRect(i * w, 60 - high, w - 1, high); });
  canvas.title = `from ${number(edges[0])} to ${number(edges[1])}; heights are logarithmic`;
  return canvas;
}

// A line over the steps of a training, from 0 to its largest value.
function course(values) {
  const canvas = make("canvas", { width: 200, height: 60, className: "still" }), pen = canvas.getContext("2d"), most = Math.max(...values.map((v) => v ?? 0)) || 1;
  pen.strokeStyle = pen.fillStyle = getComputedStyle(document.body).getPropertyValue("--mark"); pen.lineWidth = 2; pen.beginPath();
  values.forEach((v, i) => {
    const x = 6 + 188 * i / Math.max(1, values.length - 1), y = 55 - 50 * (v ?? 0) / most;
    pen.lineTo(x, y); pen.fillRect(x - 2, y - 2, 4, 4);
  });
  pen.stroke();
  return canvas;
}

class Page {
  constructor(net) {
    this.net = net; this.grids = []; this.past = []; this.now = -1;
    $("about").textContent = about.text;
    for (const [name, p] of about.guesses) {
      const bar = make("span", { className: "bar" }); bar.style.width = `${12 * (p ?? 0)}rem`;
      $("guesses").append(make("div", {}, make("span", { textContent: p === null ? "NaN" : `${(100 * p).toFixed(1)} %` }), bar, make("span", { textContent: name })));
    }
    for (const [name, distance, picture] of about.alike)
      $("alike").append(make("figure", {}, make("img", { src: picture, alt: name }), make("figcaption", { textContent: `${name}, at ${number(distance ?? NaN, 3)}` })));
    if (about.alike.length) $("alike").prepend(make("p", { className: "faint", textContent: "the images whose last hidden layer is nearest to this one's:" }));
    const slowest = Math.max(...net.layers.map((l) => l.forward + l.backward), 1e-9);
    for (const layer of net.layers) {
      const shape = layer.y.slice(1).join("×");
      const button = make("button", { onclick: () => this.show(layer.name), title: layer.facts.map(([k, v]) => `${k}: ${v}`).join("\n") },
        make("strong", { textContent: layer.name }), make("span", { className: "kind", textContent: `${layer.kind} ${shape}` }),
        make("span", { textContent: layer.time }), make("span", { className: "bar" }));
      button.lastChild.style.width = `${100 * (layer.forward + layer.backward) / slowest}%`;
      button.dataset.layer = layer.name; $("map").append(button);
    }
    document.addEventListener("keydown", (event) => this.key(event));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.show(this.layer, true));
    this.show(net.layers[0].name);
  }

  key(event) {
    if (event.target.matches?.("input, select") || event.ctrlKey || event.metaKey || event.altKey) return;
    const names = this.net.layers.map((l) => l.name), i = names.indexOf(this.layer);
    const actions = { ArrowDown: () => this.show(names[Math.min(i + 1, names.length - 1)]), ArrowUp: () => this.show(names[Math.max(i - 1, 0)]),
      ArrowLeft: () => this.step(-1), ArrowRight: () => this.step(1), i: () => $("im2col")?.scrollIntoView({ behavior: "smooth" }),
      Enter: () => event.target.matches?.("button") ? null : this.follow() };
    const action = actions[event.key];
    if (!action || (event.key === "Enter" && event.target.matches?.("button"))) return;
    event.preventDefault(); action();
  }

  show(name, again = false) {
    if (name === this.layer && !again) return;
    this.layer = name; this.grids = [];
    const layer = this.net.layer(name), section = $("layer");
    for (const b of $("map").children) b.setAttribute("aria-current", b.dataset.layer === name);
    section.replaceChildren(make("h2", { textContent: `${name}, ${layer.kind}${layer.told}` }));
    for (const note of layer.notes) section.append(make("p", { className: "note", textContent: note }));
    for (const formula of layer.formulas) section.append(make("code", { className: "formula", textContent: formula }));
    const facts = make("table"); for (const [k, v] of layer.facts) facts.append(make("tr", {}, make("td", { textContent: k }), make("td", { textContent: v })));
    section.append(facts);
    if (layer.check) section.append(make("p", { textContent: layer.check }));
    const pictures = [["y", "y, what it makes"], ["dx", "dx, the gradient of what comes in"]];
    for (const [what, title] of pictures) if (this.net.has(name, what)) {
      const grid = new Grid(this.net, name, what);
      this.grids.push(grid); section.append(this.figure(grid, `${title}: ${grid.a.shape.slice(1).join(" × ")}, ±${number(grid.largest)} at the ends of the colours`));
    }
    if (layer.weight && this.net.has(name, "weight")) section.append(this.filters(layer));
    if (Object.keys(layer.histograms).length) section.append(make("h3", { textContent: "How values are spread" }));
    for (const [what, h] of Object.entries(layer.histograms))
      section.append(make("figure", {}, histogram(h), make("figcaption", { textContent: `${what}: ${h.told}` })));
    const told = Object.entries(layer.training);
    if (told.length) section.append(make("h3", { textContent: `In a training of ${told[0][1].length} steps on this image` }));
    for (const [what, values] of told)
      section.append(make("figure", {}, course(values), make("figcaption", { textContent: `${what}: ${number(values[0] ?? NaN, 3)} → ${number(values.at(-1) ?? NaN, 3)}` })));
    if (layer.kind === "Conv2d") section.append(this.im2col(layer));
    this.mark();
  }

  figure(grid, caption) {
    grid.canvas.onmousemove = (event) => {
      const at = grid.element(event);
      $("status").textContent = at ? `${named(grid.layer, grid.what, at)} = ${number(this.net.get(grid.layer, grid.what, at), 5)}` : "";
    };
    grid.canvas.onclick = (event) => { const at = grid.element(event); if (at && grid.layer !== "input") this.explain(grid.layer, grid.what, at); };
    return make("figure", {}, make("div", { className: "scroll" }, grid.canvas), make("figcaption", { textContent: caption }));
  }

  filters(layer) {
    const [K, C, R, S] = layer.weight, a = this.net.array(layer.name, "weight"), colours = layer.before === "input" && C === 3;
    const shown = colours ? K : Math.min(K, 96), columns = Math.min(shown, layer.name === about.layers[0].name ? 16 : 24), zoom = Math.max(2, Math.floor(600 / (columns * (S + 1))));
    const wide = columns * (S + 1), high = Math.ceil(shown / columns) * (R + 1), small = new ImageData(wide, high);
    for (let k = 0; k < shown; k++) {
      let most = 1e-30; const at = (c, r, s) => a.at(((k * C + c) * R + r) * S + s);
      for (let c = 0; c < (colours ? 3 : 1); c++) for (let r = 0; r < R; r++) for (let s = 0; s < S; s++) most = Math.max(most, Math.abs(at(c, r, s)));
      for (let r = 0; r < R; r++) for (let s = 0; s < S; s++) {
        const rgb = colours ? [0, 1, 2].map((c) => 127.5 + 127.5 * at(c, r, s) / most) : colour(at(0, r, s) / most);
        small.data.set([...rgb, 255], 4 * ((Math.floor(k / columns) * (R + 1) + r) * wide + k % columns * (S + 1) + s));
      }
    }
    const own = new OffscreenCanvas(wide, high); own.getContext("2d").putImageData(small, 0, 0);
    const canvas = make("canvas", { width: wide * Math.min(zoom, 8), height: high * Math.min(zoom, 8), className: "still" }), pen = canvas.getContext("2d");
    pen.imageSmoothingEnabled = false; pen.drawImage(own, 0, 0, canvas.width, canvas.height);
    const convolutions = this.net.layers.filter((l) => l.kind === "Conv2d"), next = convolutions[convolutions.indexOf(layer) + 1];
    const towers = (layer.options.groups > 1 || next?.options.groups > 1) ? "; the first half is the first tower's" : "";
    return make("figure", {}, make("div", { className: "scroll" }, canvas), make("figcaption", { textContent:
      colours ? `its ${K} filters in colour, each stretched to its own largest weight${towers}` : `the first input channel of ${shown} of its ${K} filters${towers}` }));
  }

  // The tree of terms.

  explain(layer, what, at) {
    this.past = this.past.slice(0, this.now + 1); this.past.push([layer, what, at]); this.now++; this.tell();
  }
  step(by) { if (this.now + by < 0 || this.now + by >= this.past.length) return; this.now += by; this.tell(); }
  follow() { if (this.next) this.explain(...this.next); }

  tell() {
    const [layer, what, at] = this.past[this.now], found = this.net.terms(layer, what, at), box = $("why");
    if (layer !== "loss" && layer !== this.layer) this.show(layer);
    const button = (text, disabled, onclick) => make("button", { className: "plain", textContent: text, disabled, onclick });
    box.replaceChildren(make("h2", { textContent: named(layer, what, at) }), make("p", { textContent: `= ${number(this.value(layer, what, at), 6)}` }));
    const formula = this.net.layer(layer).texts[what];
    if (formula) box.append(make("code", { className: "formula", textContent: formula }));
    const kind = this.net.layer(layer).kind, shape = this.net.layer(layer).y;
    if (kind === "Conv2d" && what === "y") box.append(make("p", { className: "faint", textContent:
      `In im2col: column ${at[2] * shape[3] + at[3]} of the image, whose rows are the terms after the bias, in their order; row ${at[1]} of the filters.` }));
    this.next = null;
    if (!found) box.append(make("p", { textContent: `Its weights are too many for this page. Explained are the largest elements: ` }), this.choices(layer, what));
    else {
      const order = found.map((t, i) => i).sort((a, b) => Math.abs(found[b].product) - Math.abs(found[a].product) || a - b).slice(0, 40);
      const table = make("table");
      for (const i of order) {
        const cell = make("td");
        found[i].factors.forEach((f, j) => { if (j) cell.append(" · "); cell.append(this.factor(f, what)); });
        table.append(make("tr", {}, make("td", { className: "n", textContent: (found[i].product > 0 ? "+" : "") + number(found[i].product) }), cell));
        if (!this.next && found[i].product !== 0) { const f = found[i].factors.find((g) => this.goes(g, what)); if (f) this.next = [...f.of, f.at]; }
      }
      const sum = found.reduce((s, t) => s + t.product, found.rest || 0), left = found.length - order.length + (found.left || 0);
      const zeros = found.filter((t) => t.product === 0).length;
      if (left) table.append(make("tr", {}, make("td", { className: "n", textContent: number(sum - order.reduce((s, i) => s + found[i].product, 0)) }), make("td", { textContent: `${left.toLocaleString("en")} more terms` })));
      const count = found.length + (found.left || 0);
      box.append(make("p", {}, `${count === 1 ? "1 term" : `${count.toLocaleString("en")} terms`}${zeros ? `, ${zeros.toLocaleString("en")} of them 0` : ""}; together ${number(sum, 6)} `,
        make("span", { className: "faint", textContent: "(numbers here have 11 bits)" })), table);
    }
    box.append(make("p", {}, button("← back", this.now === 0, () => this.step(-1)), " ", button("forth →", this.now === this.past.length - 1, () => this.step(1)), " ",
      button("follow the largest", !this.next, () => this.follow())));
    box.append(this.field(layer, what, at));
    this.mark();
  }

  value(layer, what, at) { return what === "dweight" ? NaN : this.net.get(layer, what, at); }
  goes(f, what) { return f.of && f.of[0] !== "input" && f.of[1] === (what === "y" ? "y" : "dx") && (f.of[0] === "loss" || this.net.by[f.of[0]]); }
  factor(f, what) {
    const text = f.name === "−1" ? "−1" : `${f.name}${f.at ? `[${f.at.join(",")}]` : ""} = ${number(f.value)}`;
    if (!f.of || f.of[1] === "weight" || f.of[1] === "bias" || f.of[0] === "input") return make("span", { textContent: text });
    return make("button", { className: "link", textContent: text, onclick: () => this.explain(...f.of, f.at) });
  }
  choices(layer, what) {
    const list = make("p"), start = `${layer}.${what}[`;
    for (const key of Object.keys(about.marked)) if (key.startsWith(start))
      list.append(make("button", { className: "link", textContent: key, onclick: () => this.explain(layer, what, key.slice(start.length, -1).split(",").map(Number)) }), " ");
    return list;
  }

  // What of the image an element of a map sees.
  field(layer, what, at) {
    const map = what === "dx" ? this.net.layer(layer).before : layer;  // a dx stands where the y of the layer before does
    const reach = map === "input" ? { size: [1, 1], jump: [1, 1], start: [0, 0] } : this.net.layer(map).reach, figure = make("figure");
    if (!reach || at.length !== 4 || what.startsWith("dw")) return figure;
    const [, , H, W] = about.arrays["input.y"].shape, zoom = Math.max(1, Math.floor(260 / W));
    const own = this.photo ??= this.photograph();
    const canvas = make("canvas", { width: W * zoom, height: H * zoom, className: "still" }), pen = canvas.getContext("2d");
    pen.imageSmoothingEnabled = false; pen.drawImage(own, 0, 0, W * zoom, H * zoom);
    const [top, left] = [0, 1].map((i) => reach.start[i] + at[2 + i] * reach.jump[i]);
    pen.lineWidth = 2; pen.strokeStyle = "#fff"; pen.strokeRect(left * zoom - 1, top * zoom - 1, reach.size[1] * zoom + 2, reach.size[0] * zoom + 2);
    pen.strokeStyle = "#0b62c4"; pen.strokeRect(left * zoom + 1, top * zoom + 1, reach.size[1] * zoom - 2, reach.size[0] * zoom - 2);
    figure.append(canvas, make("figcaption", { textContent: `it sees rows ${top} … ${top + reach.size[0] - 1} and columns ${left} … ${left + reach.size[1] - 1} of the image` }));
    return figure;
  }

  // The image, stretched to the colours there are.
  photograph() {
    const [, C, H, W] = about.arrays["input.y"].shape, a = this.net.array("input", "y"), small = new ImageData(W, H);
    let low = Infinity, high = -Infinity;
    for (let i = 0; i < C * H * W; i++) { const v = a.at(i); if (v < low) low = v; if (v > high) high = v; }
    for (let i = 0; i < H * W; i++) {
      for (let c = 0; c < 3; c++) small.data[4 * i + c] = 255 * (a.at(Math.min(c, C - 1) * H * W + i) - low) / (high - low || 1);
      small.data[4 * i + 3] = 255;
    }
    const own = new OffscreenCanvas(W, H); own.getContext("2d").putImageData(small, 0, 0);
    return own;
  }

  mark() {
    const chosen = this.now >= 0 ? this.past[this.now] : null;
    for (const grid of this.grids) grid.draw(chosen && chosen[0] === grid.layer && chosen[1] === grid.what ? chosen[2] : null);
  }

  // im2col: the window, its column, the product with a filter, and what col2im puts back.
  im2col(layer) {
    const [K, width, R, S] = layer.weight, [, , P, Q] = layer.y, o = layer.options, terms = new Terms(this.net, layer.name);
    const box = make("div", { id: "im2col" }, make("h3", { textContent: "im2col" }), make("p", { className: "faint", textContent:
      "A window of the input becomes a column, one number for each weight; a filter times the column, plus the bias, is an output. Backward, each filter times its dy is added to a column, and col2im adds the column to the window." }));
    const place = make("input", { type: "range", min: 0, max: P * Q - 1, value: Math.floor(P / 2) * Q + Math.floor(Q / 2), ariaLabel: "window" });
    const filter = make("input", { type: "range", min: 0, max: K - 1, value: 0, ariaLabel: "filter" });
    const play = make("button", { className: "plain", textContent: "play" }), told = make("p"), pictures = make("div", { className: "scroll" });
    const strip = (values, caption) => {
      const z = Math.max(2, Math.min(10, Math.floor(360 / width), Math.floor(150 / (R * S)))), canvas = make("canvas", { width: R * S * z, height: width * z, className: "still" }), pen = canvas.getContext("2d");
      const most = values.reduce((m, v) => Math.max(m, Math.abs(v) || 0), 0) || 1;
      values.forEach((v, i) => { pen.fillStyle = `rgb(${colour(v / most).map(Math.round)})`; pen.fillRect(i % (R * S) * z, Math.floor(i / (R * S)) * z, z, z); });
      return make("figure", {}, canvas, make("figcaption", { textContent: caption }));
    };
    const draw = () => {
      const p = Math.floor(+place.value / Q), q = +place.value % Q, k = +filter.value, first = Math.floor(k * o.groups / K) * width;
      const rows = terms.of("y", [0, k, p, q]), column = rows.slice(1).map((t) => t.factors[1].value), weights = rows.slice(1).map((t) => t.factors[0].value);
      const back = new Array(column.length).fill(0), per = K / o.groups, g = Math.floor(k / per);
      for (let j = g * per; j < (g + 1) * per; j++) { const dy = this.net.get(layer.after, "dx", [0, j, p, q]); if (dy) for (let i = 0; i < back.length; i++) back[i] += dy * this.net.array(layer.name, "weight").at(j * back.length + i); }
      const input = new Grid(this.net, layer.before, "y", { still: true });
      input.box([first, p * o.stride[0] - o.padding[0][0], q * o.stride[1] - o.padding[1][0], R, S]);
      const sum = rows.reduce((s, t) => s + t.product, 0);
      told.textContent = `window (${p}, ${q}), filter ${k}: ${column.length.toLocaleString("en")} products and the bias ${number(rows[0].product)} make y = ${number(sum)}`;
      pictures.replaceChildren(make("figure", {}, input.canvas, make("figcaption", { textContent: `the window, on channel ${first} of the input` })),
        strip(column, `the column: a row for each of ${width} channels, ${R}×${S} taps`), strip(weights, `filter ${k}`), strip(column.map((v, i) => v * weights[i]), "their products"),
        strip(back, "backward: what col2im adds to the window"));
    };
    let timer = null;
    play.onclick = () => {
      if (timer) { clearInterval(timer); timer = null; play.textContent = "play"; return; }
      play.textContent = "stop";
      timer = setInterval(() => { if (!box.isConnected) { clearInterval(timer); return; } place.value = (+place.value + 1) % (P * Q); draw(); }, 350);
    };
    place.oninput = filter.oninput = draw;
    box.append(make("p", {}, "window ", place, " filter ", filter, " ", play), told, pictures);
    draw();
    return box;
  }
}

(async () => {
  const packed = Uint8Array.from(atob($("numbers").textContent.trim()), (c) => c.charCodeAt(0));
  const buffer = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer();
  $("numbers").remove();
  window.page = new Page(new Net(buffer));
  document.body.dataset.ready = "yes";
})();
