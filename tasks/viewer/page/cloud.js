// A point cloud to turn, by WebGL: positions in the camera's axes (x right, y down, z forward), each with its color.
// Starts where the camera stood. Knows no model and asks no server.

const VERTEX = `
attribute vec3 position; attribute vec3 color; varying vec3 seen;
uniform mat3 turn; uniform vec3 middle; uniform float away; uniform vec2 scale; uniform float spacing; uniform vec3 drawn;
void main() {
  vec3 at = turn * (position - middle) + vec3(0.0, 0.0, away);
  gl_Position = vec4(at.x * scale.x, -at.y * scale.y, at.z - 0.02 * away, at.z);
  gl_PointSize = clamp(spacing * position.z / at.z, 1.5, 24.0);
  if (drawn.r >= 0.0) gl_PointSize = 10.0;
  seen = drawn.r < 0.0 ? color : drawn;
}`;
const FRAGMENT = `
precision mediump float; varying vec3 seen;
void main() { gl_FragColor = vec4(seen, 1.0); }`;
const STRAIGHT = { yaw: 0, pitch: 0, zoom: 1 };
const HIT = 12; // pixels from a click to a point

// Return {positions, colors} (Float32Array, Uint8Array, three values a point) of a binary PLY of this project.
export function points(buffer) {
  const head = new TextDecoder().decode(new Uint8Array(buffer, 0, Math.min(1000, buffer.byteLength)));
  const count = Number(/element vertex (\d+)/.exec(head)[1]);
  const start = head.indexOf("end_header\n") + "end_header\n".length;
  const view = new DataView(buffer, start);
  const positions = new Float32Array(3 * count);
  const colors = new Uint8Array(3 * count);
  for (let at = 0; at < count; at++) {
    for (let axis = 0; axis < 3; axis++) {
      positions[3 * at + axis] = view.getFloat32(15 * at + 4 * axis, true);
      colors[3 * at + axis] = view.getUint8(15 * at + 12 + axis);
    }
  }
  return { positions, colors };
}

// Draw clouds on `canvas`; `onPick(index)` gets the number of a point that was clicked. Null where there is no WebGL.
export function turntable(canvas, onPick) {
  const gl = canvas.getContext("webgl", { antialias: true });
  if (!gl) return null;
  const program = compiled(gl);
  const place = Object.fromEntries(
    ["turn", "middle", "away", "scale", "spacing", "drawn"].map((name) => [name, gl.getUniformLocation(program, name)]),
  );
  const buffers = { position: gl.createBuffer(), color: gl.createBuffer(), ends: gl.createBuffer() };
  let cloud = null;
  let view = { ...STRAIGHT };
  let ends = [];

  function frame() {
    const width = Math.round(canvas.clientWidth * devicePixelRatio);
    const height = Math.round(canvas.clientHeight * devicePixelRatio);
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    // As large as fits: half the picture's width and height, at depth 1, fill the canvas one way.
    const fit = Math.min(width / cloud.half[0], height / cloud.half[1]) * view.zoom;
    return { width, height, scale: [fit / width, fit / height], turn: rotation(view), spacing: cloud.spacing * fit * 0.6 };
  }

  function draw() {
    if (!cloud || !canvas.clientWidth) return;
    const now = frame();
    gl.viewport(0, 0, now.width, now.height);
    gl.clearColor(0.063, 0.07, 0.082, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.enable(gl.DEPTH_TEST);
    gl.uniformMatrix3fv(place.turn, false, now.turn);
    gl.uniform3fv(place.middle, cloud.middle);
    gl.uniform1f(place.away, cloud.middle[2]);
    gl.uniform2fv(place.scale, now.scale);
    gl.uniform1f(place.spacing, now.spacing);
    gl.uniform3f(place.drawn, -1, 0, 0);
    attribute(gl, program, "position", buffers.position, gl.FLOAT);
    attribute(gl, program, "color", buffers.color, gl.UNSIGNED_BYTE);
    gl.drawArrays(gl.POINTS, 0, cloud.positions.length / 3);
    if (!ends.length) return;
    gl.disable(gl.DEPTH_TEST); // what is measured is seen through everything
    gl.uniform3f(place.drawn, 1, 1, 1);
    attribute(gl, program, "position", buffers.ends, gl.FLOAT);
    gl.disableVertexAttribArray(gl.getAttribLocation(program, "color"));
    gl.drawArrays(gl.POINTS, 0, ends.length);
    gl.drawArrays(gl.LINES, 0, ends.length === 2 ? 2 : 0);
  }

  // The number of the point nearest to the eye of those at a click, -1 for none.
  function hit(event) {
    const now = frame();
    const box = canvas.getBoundingClientRect();
    let [best, found] = [Infinity, -1];
    for (let at = 0; at < cloud.positions.length; at += 3) {
      const [x, y, z] = turned(now.turn, cloud.positions.subarray(at, at + 3), cloud.middle);
      if (z <= 0) continue;
      const column = box.left + ((1 + (x * now.scale[0]) / z) / 2) * box.width;
      const row = box.top + ((1 + (y * now.scale[1]) / z) / 2) * box.height;
      const off = Math.hypot(column - event.clientX, row - event.clientY);
      const score = z * (1 + off / HIT);
      if (off < HIT && score < best) [best, found] = [score, at / 3];
    }
    return found;
  }

  function change(yaw, pitch, zoom) {
    view.yaw += yaw;
    view.pitch = Math.max(-1.5, Math.min(1.5, view.pitch + pitch));
    view.zoom = Math.max(0.2, Math.min(20, view.zoom * zoom));
    requestAnimationFrame(draw);
  }
  const straight = () => {
    view = { ...STRAIGHT };
    requestAnimationFrame(draw);
  };
  handled(canvas, change, straight, (event) => cloud && hit(event) >= 0 && onPick(hit(event)));
  new ResizeObserver(draw).observe(canvas);

  return {
    // Show {positions, colors} of a picture whose rows have `columns` points, seen by a camera of `field` degrees.
    show({ positions, colors }, columns, field) {
      gl.bindBuffer(gl.ARRAY_BUFFER, buffers.position);
      gl.bufferData(gl.ARRAY_BUFFER, positions, gl.STATIC_DRAW);
      gl.bindBuffer(gl.ARRAY_BUFFER, buffers.color);
      gl.bufferData(gl.ARRAY_BUFFER, colors, gl.STATIC_DRAW);
      const across = Math.tan((field * Math.PI) / 360);
      const rows = positions.length / 3 / columns;
      const depths = positions.filter((_, at) => at % 3 === 2).sort();
      const middle = [0, 0, depths[depths.length >> 1]];
      cloud = { positions, middle, half: [across, (across * rows) / columns], spacing: (2 * across) / columns };
      draw();
    },
    // Mark up to two places, each [x, y, z].
    mark(places) {
      ends = places;
      gl.bindBuffer(gl.ARRAY_BUFFER, buffers.ends);
      gl.bufferData(gl.ARRAY_BUFFER, new Float32Array(places.flat()), gl.DYNAMIC_DRAW);
      draw();
    },
  };
}

function handled(canvas, change, straight, click) {
  const fingers = new Map();
  let moved = 0;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    if (fingers.size === 1) moved = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const last = fingers.get(event.pointerId);
    if (!last) return;
    const before = [...fingers.values()];
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    const after = [...fingers.values()];
    const by = [event.clientX - last[0], event.clientY - last[1]];
    moved += Math.hypot(...by);
    if (fingers.size === 1) change(-by[0] / 200, by[1] / 200, 1);
    else change(0, 0, apart(after) / Math.max(1, apart(before)));
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, (event) => {
      const last = fingers.delete(event.pointerId) && !fingers.size;
      if (last && moved < 4 && name === "pointerup") click(event);
    });
  }
  canvas.addEventListener("wheel", (event) => {
    change(0, 0, Math.exp(-event.deltaY / 500));
    event.preventDefault();
  }, { passive: false });
  canvas.addEventListener("dblclick", straight);
  canvas.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [0.1, 0, 1], ArrowRight: [-0.1, 0, 1], ArrowUp: [0, -0.1, 1], ArrowDown: [0, 0.1, 1] };
    const all = { ...steps, "+": [0, 0, 1.1], "-": [0, 0, 1 / 1.1] };
    if (event.key === "0") straight();
    else if (event.key in all) change(...all[event.key]);
    else return;
    event.preventDefault();
  });
}

const apart = ([[x, y], [u, v]]) => Math.hypot(u - x, v - y);

function turned(turn, at, middle) {
  const [x, y, z] = [at[0] - middle[0], at[1] - middle[1], at[2] - middle[2]];
  return [0, 1, 2].map((row) => turn[row] * x + turn[3 + row] * y + turn[6 + row] * z + (row === 2 ? middle[2] : 0));
}

// The rotation by yaw about the vertical axis and then by pitch about the horizontal one, by columns as WebGL has it.
function rotation({ yaw, pitch }) {
  const [c, s, d, t] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
  return [c, t * s, -d * s, 0, d, t, s, -t * c, d * c];
}

function compiled(gl) {
  const program = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
  gl.useProgram(program);
  return program;
}

function attribute(gl, program, name, buffer, type) {
  const at = gl.getAttribLocation(program, name);
  gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
  gl.enableVertexAttribArray(at);
  gl.vertexAttribPointer(at, 3, type, type === gl.UNSIGNED_BYTE, 0, 0);
}
