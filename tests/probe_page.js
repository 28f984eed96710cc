// Goes through a report: every layer is shown and elements of each of its arrays explained. Leaves what it found as JSON.
const errors = [];
window.onerror = (message) => errors.push(String(message));
window.onunhandledrejection = (event) => errors.push(String(event.reason));
(async () => {
  while (!document.body.dataset.ready && !errors.length) await new Promise((go) => setTimeout(go, 20));
  const found = [];
  const places = (a) => Array.from({ length: Math.min(30, a.size) }, (_, j) => {
    let i = a.size <= 30 ? j : Math.floor(a.size / 30 * j + j % 7) % a.size;
    return a.shape.map((n, axis) => Math.floor(i / a.shape.slice(axis + 1).reduce((p, m) => p * m, 1)) % n);
  });
  const explain = (name, what, ats) => {
    for (const at of ats) {
      const terms = page.net.terms(name, what, at), sum = terms.reduce((s, t) => s + t.product, terms.rest || 0);
      const size = terms.reduce((s, t) => s + Math.abs(t.product), Math.abs(terms.rest || 0));
      page.explain(name, what, at);
      found.push({ name, what, at, sum: String(sum), size: String(size), value: String(page.net.get(name, what, at)), count: terms.length + (terms.left || 0) });
    }
  };
  try {
    for (const layer of page.net.layers) {
      page.show(layer.name);
      for (const what of ["y", "dx"]) if (page.net.has(layer.name, what)) explain(layer.name, what, layer.kind === "Linear"
        ? Object.keys(about.marked).filter((key) => key.startsWith(`${layer.name}.${what}[`)).map((key) => key.slice(key.indexOf("[") + 1, -1).split(",").map(Number))
        : places(page.net.array(layer.name, what)));
    }
    explain("loss", "dx", places(page.net.array("loss", "dx")));
    const steps = page.past.length;
    document.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft" }));
    if (page.now !== steps - 2) errors.push("ArrowLeft does not go back");
    document.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown" }));
    page.show("conv1" in page.net.by ? "conv1" : page.net.layers[0].name);
    const canvas = page.grids[0].canvas, frame = canvas.getBoundingClientRect(), zoom = page.grids[0].zoom * frame.width / canvas.width;
    canvas.dispatchEvent(new MouseEvent("click", { clientX: frame.left + zoom / 2, clientY: frame.top + zoom / 2, bubbles: true }));
    const last = page.past.at(-1);
    if (last[1] !== "y" || last[2].some((i) => i !== 0)) errors.push(`a click in the corner explains ${last}`);
    let followed = 0;
    page.explain(page.net.layers[0].name, "dx" , page.net.layers[0].x.map(() => 0));
    while (page.next && followed < 100) { page.follow(); followed++; }
    found.push({ followed, end: page.past[page.now][0], notes: page.net.layers.flatMap((l) => l.notes.map((note) => `${l.name}: ${note}`)) });
  } catch (error) { errors.push(String(error.stack)); }
  const result = document.createElement("pre");
  result.id = "result"; result.textContent = JSON.stringify({ errors, found });
  document.body.replaceChildren(result);
})();
