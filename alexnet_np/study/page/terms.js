"use strict";
// The formulas of the layers as lists of terms, as alexnet_np/study/formulas has them; on arrays of 16-bit floats.
// A term is {product, factors}, a factor {name, value, at, of: [layer, array]}. `net` gives numbers: net.get(layer, array, index).

const range = (from, to) => Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i);
const product = (factors) => factors.some((f) => f.choice && f.value === 0) ? 0 : factors.reduce((p, f) => f.choice ? p : p * f.value, 1);
const term = (...factors) => ({ product: product(factors), factors });

class Terms {
  constructor(net, name) {
    this.net = net; this.layer = net.layer(name); this.o = this.layer.options; this.name = name;
    this.before = this.layer.before; this.after = this.layer.after;
  }
  x(at) { return { name: "x", value: this.net.padded(this.before, "y", at), at, of: [this.before, "y"] }; }
  dy(at) { return { name: "dy", value: this.net.get(this.after, "dx", at), at, of: [this.after, "dx"] }; }
  w(at) { return { name: "w", value: this.net.get(this.name, "weight", at), at, of: [this.name, "weight"] }; }
  b(k) { return { name: "b", value: this.net.get(this.name, "bias", [k]), at: [k], of: [this.name, "bias"] }; }
  constant(name, value, choice = false) { return { name, value, choice }; }
  of(what, at) { return this[`${this.layer.kind}_${what}`](at); }

  Conv2d_y([n, k, p, q]) {
    const [K, width, R, S] = this.layer.weight, first = Math.floor(k * this.o.groups / K) * width, terms = [term(this.b(k))];
    for (let c = 0; c < width; c++) for (let r = 0; r < R; r++) for (let s = 0; s < S; s++)
      terms.push(term(this.w([k, c, r, s]), this.x([n, first + c, p * this.o.stride[0] + r - this.o.padding[0][0], q * this.o.stride[1] + s - this.o.padding[1][0]])));
    return terms;
  }
  Conv2d_dx([n, c, h, w]) {
    const [K, width, R, S] = this.layer.weight, [, , P, Q] = this.layer.y, per = K / this.o.groups, g = Math.floor(c / width), terms = [];
    const meets = (i, before, stride, taps, outputs) => range(0, taps).map((r) => [r, (i + before - r) / stride])
      .filter(([, p]) => Number.isInteger(p) && p >= 0 && p < outputs);
    const rows = meets(h, this.o.padding[0][0], this.o.stride[0], R, P), columns = meets(w, this.o.padding[1][0], this.o.stride[1], S, Q);
    for (let k = g * per; k < (g + 1) * per; k++) for (const [r, p] of rows) for (const [s, q] of columns)
      terms.push(term(this.w([k, c % width, r, s]), this.dy([n, k, p, q])));
    return terms;
  }
  Conv2d_dweight([k, c, r, s]) {
    const [K, width] = this.layer.weight, [N, , P, Q] = this.layer.y, channel = Math.floor(k * this.o.groups / K) * width + c, terms = [];
    for (let n = 0; n < N; n++) for (let p = 0; p < P; p++) for (let q = 0; q < Q; q++)
      terms.push(term(this.dy([n, k, p, q]), this.x([n, channel, p * this.o.stride[0] + r - this.o.padding[0][0], q * this.o.stride[1] + s - this.o.padding[1][0]])));
    return terms;
  }
  window(p, q) {
    const [, , H, W] = this.layer.x, rows = [], columns = [];
    for (let r = 0; r < this.o.size[0]; r++) { const h = p * this.o.stride[0] - this.o.padding[0][0] + r; if (h >= 0 && h < H) rows.push(h); }
    for (let s = 0; s < this.o.size[1]; s++) { const w = q * this.o.stride[1] - this.o.padding[1][0] + s; if (w >= 0 && w < W) columns.push(w); }
    return [rows, columns];
  }
  winner(n, c, p, q) {  // recorded, since 16-bit floats tie where the numbers did not
    const W = this.layer.x[3], i = this.net.get(this.name, "winner", [n, c, p, q]);
    return [Math.floor(i / W), i % W];
  }
  MaxPool2d_y([n, c, p, q]) {
    const [rows, columns] = this.window(p, q), [h, w] = this.winner(n, c, p, q);
    return rows.flatMap((i) => columns.map((j) => term(this.x([n, c, i, j]), this.constant("won", +(i === h && j === w), true))));
  }
  MaxPool2d_dx([n, c, h, w]) {
    const [, , P, Q] = this.layer.y, terms = [];
    const near = (i, axis, count) => {  // windows that may hold row or column i
      const at = i + this.o.padding[axis][0];
      return range(Math.max(0, Math.ceil((at - this.o.size[axis] + 1) / this.o.stride[axis])), Math.min(count, Math.floor(at / this.o.stride[axis]) + 1));
    };
    for (const p of near(h, 0, P)) for (const q of near(w, 1, Q)) {
      const [rows, columns] = this.window(p, q);
      if (!rows.includes(h) || !columns.includes(w)) continue;
      const [i, j] = this.winner(n, c, p, q);
      terms.push(term(this.dy([n, c, p, q]), this.constant("won", +(i === h && j === w), true)));
    }
    return terms;
  }
  neighbours(c) {
    const width = this.layer.x[1] / this.o.groups, first = Math.floor(c / width) * width, reach = Math.floor(this.o.size / 2);
    return range(Math.max(c - reach, first), Math.min(c + reach + 1, first + width));
  }
  get a() { return this.o.alpha_over_size ? this.o.alpha / this.o.size : this.o.alpha; }
  scale([n, c, h, w]) { return this.o.k + this.a * this.neighbours(c).reduce((sum, j) => sum + this.x([n, j, h, w]).value ** 2, 0); }
  LRN_y(at) { return [term(this.x(at), { name: "scale^−β", value: this.scale(at) ** -this.o.beta, at })]; }
  LRN_dx([n, c, h, w]) {
    const at = [n, c, h, w], beta = this.o.beta;
    return [term(this.dy(at), { name: "scale^−β", value: this.scale(at) ** -beta, at })].concat(this.neighbours(c).map((j) => {
      const of = [n, j, h, w];
      return term(this.constant("−2·a·β", -2 * this.a * beta), this.dy(of), this.x(of), { name: "scale^(−β−1)", value: this.scale(of) ** (-beta - 1), at: of }, this.x(at));
    }));
  }
  ReLU_y(at) { const x = this.x(at); return [term(x, this.constant("x > 0", x.value <= 0 ? 0 : 1, true))]; }
  ReLU_dx(at) { return [term(this.dy(at), this.constant("x > 0", +(this.net.get(this.name, "y", at) > 0), true))]; }
  mask(at) { return [this.constant("kept", this.net.get(this.name, "kept", at), true), this.constant("factor", this.o.factor)]; }
  Dropout_y(at) { return [term(this.x(at), ...this.mask(at))]; }
  Dropout_dx(at) { return [term(this.dy(at), ...this.mask(at))]; }
  Flatten_y([n, i]) { const [, , H, W] = this.layer.x; return [term(this.x([n, Math.floor(i / (H * W)), Math.floor(i / W) % H, i % W]))]; }
  Flatten_dx([n, c, h, w]) { const [, , H, W] = this.layer.x; return [term(this.dy([n, (c * H + h) * W + w]))]; }
  Linear_y(at) { return this.net.marked(this.name, "y", at); }
  Linear_dx(at) { return this.net.marked(this.name, "dx", at); }
  loss_dx([n, k]) {
    const N = this.layer.x[0], mean = this.constant("1/N", 1 / N), right = this.net.labels[n] === k;
    return [term(mean, { name: "p", value: this.net.get("loss", "p", [n, k]), at: [n, k] }), term(mean, this.constant("−1", -1), this.constant("label = k", +right, true))];
  }
}
