// A picture or a map of depth: pixels on a canvas, the pointer and the measuring points above it, by mouse, finger or
// keys. Knows no model and asks no server.

const MOST = 2e6; // pixels of a canvas: more than a screen shows

// `figure` holds .map with a canvas and an svg; `onPoint(place)` and `onPick(place)` get [column, row] of the picture.
export function panel(figure, onPoint, onPick) {
  const map = figure.querySelector(".map");
  const canvas = map.querySelector("canvas");
  const lines = map.querySelector("svg");
  let size = [1, 1];
  let pointer = null;

  const inside = (place) => place.map((at, side) => Math.min(Math.max(at, 0), size[side] - 1));
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    const shares = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    return inside(shares.map((share, side) => Math.floor(share * size[side])));
  };
  map.addEventListener("pointermove", (event) => onPoint(place(event)));
  map.addEventListener("pointerleave", () => onPoint(null));
  map.addEventListener("click", (event) => {
    onPoint(place(event));
    onPick(place(event));
  });
  map.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const from = pointer ?? size.map((side) => Math.floor(side / 2));
    if (event.key === "Enter") onPick(from);
    else if (event.key in steps) {
      const far = event.shiftKey ? 1 : Math.ceil(size[0] / 100);
      onPoint(inside(from.map((at, side) => at + far * steps[event.key][side])));
    } else return;
    event.preventDefault();
  });

  return {
    // Show `source`, an image or a canvas, as a picture of `width` by `height` pixels.
    show(source, width, height) {
      size = [width, height];
      const scale = Math.min(1, Math.sqrt(MOST / (width * height)));
      canvas.width = Math.max(1, Math.round(width * scale));
      canvas.height = Math.max(1, Math.round(height * scale));
      canvas.getContext("2d").drawImage(source, 0, 0, canvas.width, canvas.height);
      lines.setAttribute("viewBox", `0 0 ${width} ${height}`);
    },
    // Draw the pointer and up to two measuring points, each [column, row].
    mark(at, ends) {
      pointer = at;
      const [width, height] = size;
      const middles = ends.map(([column, row]) => [column + 0.5, row + 0.5]);
      const shapes = middles.map(([cx, cy]) => shape("circle", { cx, cy, r: Math.max(width, height) / 100 }));
      if (middles.length === 2) {
        const [[x1, y1], [x2, y2]] = middles;
        shapes.push(shape("line", { x1, y1, x2, y2 }));
      }
      if (at) {
        const [x, y] = [at[0] + 0.5, at[1] + 0.5];
        shapes.push(shape("line", { class: "pointer", x1: x, x2: x, y1: 0, y2: height }));
        shapes.push(shape("line", { class: "pointer", x1: 0, x2: width, y1: y, y2: y }));
      }
      lines.replaceChildren(...shapes);
    },
  };
}

// Return a canvas with the nearness of `depth` ({values, metric, width, height}) in `colors`, 256 of [r, g, b].
export function painted(depth, colors) {
  const step = Math.max(1, Math.ceil(Math.sqrt((depth.width * depth.height) / MOST)));
  const width = Math.ceil(depth.width / step);
  const height = Math.ceil(depth.height / step);
  const near = depth.metric ? (value) => 1 / value : (value) => value;
  const [low, high] = [near(depth.metric ? depth.high : depth.low), near(depth.metric ? depth.low : depth.high)];
  const pixels = new ImageData(width, height);
  for (let row = 0, at = 0; row < height; row++) {
    for (let column = 0; column < width; column++, at += 4) {
      const value = near(depth.values[row * step * depth.width + column * step]);
      const share = high > low ? (value - low) / (high - low) : 0;
      pixels.data.set(colors[Math.min(255, Math.floor(share * 256))], at);
      pixels.data[at + 3] = 255;
    }
  }
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}

function shape(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
