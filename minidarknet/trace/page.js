"use strict";
// Shows the number under the pointer, or at the place that the arrow keys have reached, and what it saw of the picture.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const probe = document.getElementById("probe");
  const read = new WeakMap(); // of each map: its numbers, once they were asked for
  let held = null;

  // The levels of a grey picture. `decode` is done when its pixels can be read.
  async function levels(address, width, height) {
    const image = new Image();
    image.src = address;
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, width, height).data;
  }

  async function numbers(map) {
    if (!read.has(map)) {
      const image = map.querySelector("img");
      const size = [image.getAttribute("width"), image.getAttribute("height")].map(Number);
      read.set(map, Promise.all([levels(image.src, ...size), levels(map.dataset.fine, ...size)]));
    }
    return read.get(map);
  }

  const size = (map) => {
    const image = map.querySelector("img");
    return [Number(image.getAttribute("width")), Number(image.getAttribute("height"))];
  };

  async function show(map, x, y) {
    const [width, height] = size(map);
    x = Math.min(Math.max(x, 0), width - 1);
    y = Math.min(Math.max(y, 0), height - 1);
    map.dataset.x = x;
    map.dataset.y = y;
    const [coarse, fine] = await numbers(map);
    if (Number(map.dataset.x) !== x || Number(map.dataset.y) !== y) return; // the pointer has gone on
    document.querySelectorAll(".map.on").forEach((other) => other.classList.remove("on"));
    map.classList.add("on");
    const cell = map.querySelector(".cell").style;
    cell.left = `${(100 * x) / width}%`;
    cell.top = `${(100 * y) / height}%`;
    cell.width = `max(3px, ${100 / width}%)`;
    cell.height = `max(3px, ${100 / height}%)`;

    const { layer, channel, step, low, high } = map.dataset;
    const [row, column] = [y * Number(step), x * Number(step)];
    const at = 4 * (y * width + x);
    const code = 256 * coarse[at] + fine[at];
    const value = Number(low) + (code / 65535) * (Number(high) - Number(low));
    const field = data.layers[layer];
    const [top, bottom] = field.rows[row];
    const [left, right] = field.columns[column];
    const saw = document.getElementById("saw");
    saw.setAttribute("x", left);
    saw.setAttribute("y", top);
    saw.setAttribute("width", Math.max(right - left, 0));
    saw.setAttribute("height", Math.max(bottom - top, 0));
    const say = (id, text) => { document.getElementById(id).textContent = text; };
    say("where", `layer ${layer}, channel ${channel}, row ${row}, column ${column}`);
    say("value", value.toPrecision(4));
    say("field", `saw ${right - left} x ${bottom - top} pixels`);
    say("command", `${data.command} ${layer}:${channel},${row},${column}`);
    probe.classList.add("on");
  }

  function let_go() {
    held = null;
    probe.classList.remove("held");
  }

  function cell_of(map, event) {
    const [width, height] = size(map);
    const box = map.querySelector("img").getBoundingClientRect();
    return [
      Math.floor(((event.clientX - box.left) / box.width) * width),
      Math.floor(((event.clientY - box.top) / box.height) * height),
    ];
  }

  for (const map of document.querySelectorAll(".map")) {
    map.addEventListener("pointermove", (event) => {
      if (!held) show(map, ...cell_of(map, event));
    });
    map.addEventListener("click", (event) => {
      if (event.detail === 0) return; // Enter or the space bar: the keys have chosen already
      const place = cell_of(map, event);
      if (held && held[0] === map && held[1] === String(place)) return let_go();
      held = [map, String(place)];
      probe.classList.add("held");
      show(map, ...place);
    });
    map.addEventListener("focus", () => {
      if (held || !map.matches(":focus-visible")) return;
      const [width, height] = size(map);
      show(map, Math.floor(width / 2), Math.floor(height / 2));
    });
    map.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (!step) return;
      event.preventDefault();
      let_go();
      show(map, Number(map.dataset.x || 0) + step[0], Number(map.dataset.y || 0) + step[1]);
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    let_go();
    probe.classList.remove("on");
  });
})();
