// The page: a file and one or two models in, maps, values, a cloud and distances out. What is predicted, decoded and
// written is the server's; the places of pixels in space, for distances, are computed here.

import { painted, panel } from "./panel.js";
import { points, turntable } from "./cloud.js";

const CLOUD = 150000; // points that are turned; the file has all of them
const SAMPLED = 16; // frames that are predicted beforehand, for the range of the colors
const FILM = Math.hypot(36, 24); // diagonal in mm that focal lengths "as on 35 mm film" are for
const DOWNLOADS = { "gray.png": "16-bit PNG", "color.png": "colored PNG", "values.npy": ".npy", "cloud.ply": "PLY" };
const ENDING = { "gray.png": ".png", "color.png": ".color.png", "values.npy": ".npy", "cloud.ply": ".ply" };

const $ = (id) => document.getElementById(id);
const state = { file: null, name: "", width: 1, height: 1, frames: 0, depths: {}, ends: [], pointer: null };
Object.assign(state, { running: false, again: false }); // a prediction is under way; another one is wished after it
let start;

async function asked(path, options) {
  let answer;
  try {
    answer = await fetch(`api/${path}`, options);
  } catch {
    throw new Error("the server does not answer: is depth-anything app still running?");
  }
  if (answer.ok) return answer;
  throw new Error((await answer.json().catch(() => ({}))).error ?? `status ${answer.status}`);
}

function say(text, kind = "") {
  $("status").textContent = text;
  $("status").className = kind;
}

// Do `work`; what goes wrong stands in the status line.
async function tried(work) {
  try {
    await work();
  } catch (error) {
    say(error.message, "bad");
  }
}

// The camera: focal length in pixels of the picture, and the field of view in degrees across, assumed or given.

function focal() {
  const value = Number($("camera").value);
  if (!(value > 0)) return state.width / 2 / Math.tan((start.field_of_view * Math.PI) / 360);
  if ($("unit").value === "pixels") return value;
  if ($("unit").value === "millimeters") return (value * Math.hypot(state.width, state.height)) / FILM;
  return state.width / 2 / Math.tan((Math.min(value, 179) * Math.PI) / 360);
}

const known = () => Number($("camera").value) > 0;
const field = () => (Math.atan(state.width / 2 / focal()) * 360) / Math.PI;
const farthest = () => Math.max(1.1, Number($("farthest").value) || start.farthest);
const view = () => `field_of_view=${field().toFixed(6)}&farthest=${farthest()}`;

// Depths

async function take(file) {
  if (file.size > start.largest) throw new Error(`${file.name}: is larger than ${start.largest} bytes (--largest)`);
  say(`reading ${file.name}`, "busy");
  const answer = await asked(`files?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file });
  const { file: id, frames, width, height } = await answer.json();
  Object.assign(state, { file: id, name: file.name, width, height, frames, depths: {}, ends: [], pointer: null });
  $("dropped").textContent = file.name;
  $("video").hidden = frames < 2;
  [$("frame").max, $("frame").value] = [frames - 1, 0];
  $("results").hidden = false;
  for (const name of ["a", "b", "turn", "clip"]) $(name).hidden = true;
  await picture();
  mark();
  say($("model-a").value ? "" : "Choose a model.");
  if ($("model-a").value) predict();
}

async function picture() {
  const image = new Image();
  image.src = `api/files/${state.file}/picture.jpg?frame=${$("frame").value}`;
  await image.decode().catch(() => {
    throw new Error(`frame ${$("frame").value} cannot be read`);
  });
  panels.picture.show(image, state.width, state.height);
  $("frame-number").textContent = `${Number($("frame").value) + 1} of ${state.frames}`;
  title("picture", `${state.name}, ${state.width} × ${state.height}`);
}

// Predict with what the form says now; while that is done, only the last other wish is remembered.
async function predict() {
  if (!state.file) return say("Drop a photo or a video first.");
  if (!$("model-a").value.trim()) return say("Choose a model first.");
  if (state.running) return (state.again = true);
  await alone(async () => {
    do {
      state.again = false;
      if (state.frames) await picture();
      await both();
    } while (state.again);
  });
}

async function alone(work) {
  [state.running, $("go").disabled, $("whole").disabled] = [true, true, true];
  await tried(work);
  [state.running, $("go").disabled, $("whole").disabled] = [false, false, false];
}

// Every frame of the video, by the first model.
async function whole() {
  const model = $("model-a").value.trim();
  if (!model) return say("Choose a model first.");
  const count = async () => {
    const done = await (await asked("clip/done")).json();
    if (state.running) say(`${done} of about ${state.frames + Math.min(state.frames, SAMPLED)} frames predicted`, "busy");
  };
  const timer = setInterval(() => tried(count), 1000);
  $("stop").hidden = false;
  const { file, name } = state;
  await alone(async () => {
    say(`${model}: predicting every frame`, "busy");
    const told = await wished("clip", model);
    clearInterval(timer);
    if (file === state.file) showClip(told, name, model);
    say("");
  });
  clearInterval(timer);
  $("stop").hidden = true;
  if (state.again) predict();
}

function showClip({ clip, said }, name, model) {
  const address = `api/clip/${clip}/depth.mp4`;
  const link = $("clip").querySelector("a");
  [$("clip").hidden, $("clip").querySelector("video").src] = [false, address];
  [link.href, link.download] = [address, `${name}.color.mp4`];
  $("clip").querySelector("p").textContent = `${model}: ${said}`;
}

async function both() {
  const file = state.file;
  const wanted = { a: $("model-a").value.trim(), b: $("model-b").value.trim() };
  for (const [side, model] of Object.entries(wanted)) {
    $(side).hidden = !model;
    if (!model) delete state.depths[side];
    else {
      say(`${model}: predicting (the first time loads the model)`, "busy");
      const found = await depthOf(model);
      if (file !== state.file) return; // another one was dropped meanwhile
      state.depths[side] = found;
      showDepth(side);
    }
  }
  $("which").hidden = !wanted.b;
  if (!wanted.b) $("cloud-of").value = "a";
  say("");
  mark();
  await cloud();
}

// Ask the server for what `path` makes of the file and `model`, as the form says.
async function wished(path, model) {
  const wish = {
    file: state.file,
    frame: Number($("frame").value),
    model,
    short_side: Number($("short-side").value) || start.short_side,
    version: $("version").value || null,
    maximum: Number($("maximum").value) || null,
    field_of_view: known() ? field() : null,
  };
  const headers = { "Content-Type": "application/json" };
  return (await asked(path, { method: "POST", headers, body: JSON.stringify(wish) })).json();
}

async function depthOf(model) {
  const told = await wished("depth", model);
  const buffer = await (await asked(`depth/${told.depth}/values.npy`)).arrayBuffer();
  const values = new Float32Array(buffer, 10 + new DataView(buffer).getUint16(8, true));
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  return { ...told, model, values, low, high };
}

function showDepth(side) {
  const depth = state.depths[side];
  const figure = $(side);
  panels[side].show(painted(depth, start.colors), depth.width, depth.height);
  title(side, depth.model);
  const range = depth.metric
    ? `${meters(depth.low)} (red) to ${meters(depth.high)} (blue)`
    : `relative: disparity ${depth.high.toPrecision(4)} (near, red) to ${depth.low.toPrecision(4)} (far, blue)`;
  figure.querySelector(".range").textContent = `${range}; ${depth.seconds.toFixed(1)} s`;
  const links = Object.entries(DOWNLOADS).map(([kind, said]) => {
    const link = document.createElement("a");
    link.textContent = said;
    link.download = state.name + (state.frames ? `.${$("frame").value}` : "") + ENDING[kind];
    link.dataset.path = `api/depth/${depth.depth}/${kind}`;
    link.href = link.dataset.path;
    return link;
  });
  figure.querySelector(".files").replaceChildren(...links);
}

function title(side, text) {
  const place = document.querySelector(`#${side} .title`);
  [place.textContent, place.title] = [text, text];
}

// Values and distances

const meters = (value) => `${value.toFixed(value < 10 ? 3 : 2)} m`;
const at = (depth, [column, row]) => depth.values[row * depth.width + column];

function valueText(depth, place) {
  const value = at(depth, place);
  if (depth.metric) return meters(value);
  const share = (100 * (value - depth.low)) / Math.max(depth.high - depth.low, 1e-30);
  return `disparity ${value.toPrecision(4)}, ${share.toFixed(0)} % of its range`;
}

// The place in space of a pixel, x right, y down, z forward: what depth_model.media.point_cloud.points says.
function place(depth, [column, row], z) {
  const f = focal();
  return [((column - (depth.width - 1) / 2) / f) * z, ((row - (depth.height - 1) / 2) / f) * z, z];
}

// The depth of a pixel in the cloud: meters, or those of depth_model.media.point_cloud.relative_depth.
function depthAt(depth, pixel) {
  if (depth.metric) return at(depth, pixel);
  const near = depth.high > depth.low ? (at(depth, pixel) - depth.low) / (depth.high - depth.low) : 1;
  return 1 / (near + (1 - near) / farthest());
}

function distanceText(side) {
  const depth = state.depths[side];
  const name = side === "a" ? "Model" : "Compared";
  if (!depth.metric) return `${name}: relative, so it tells no meters`;
  const [one, other] = state.ends.map((end) => place(depth, end, at(depth, end)));
  const apart = Math.hypot(...one.map((value, axis) => value - other[axis]));
  return `${name}: ${meters(apart)} between the points, at depths ${meters(one[2])} and ${meters(other[2])}`;
}

function mark() {
  for (const one of Object.values(panels)) one.mark(state.pointer, state.ends);
  for (const [side, depth] of Object.entries(state.depths)) {
    $(side).querySelector(".value").textContent = state.pointer ? valueText(depth, state.pointer) : "\u00a0";
  }
  const where = state.pointer ? `column ${state.pointer[0]}, row ${state.pointer[1]}` : "\u00a0";
  $("picture").querySelector(".value").textContent = where;
  const angle = `${field().toFixed(1)}° across`;
  const camera = known() ? `Camera: ${angle}.` : `Camera: ${angle}, assumed; give its field of view or focal length above.`;
  const sides = Object.keys(state.depths);
  const lines = state.ends.length === 2 ? sides.map(distanceText) : ["Click two points of a map, the picture or the cloud."];
  const anyMeters = sides.some((side) => state.depths[side].metric);
  $("distance").textContent = [...lines, ...(anyMeters ? [camera] : [])].join("\n");
  $("clear").hidden = !state.ends.length;
  const depth = state.depths[$("cloud-of").value];
  if (depth && table) table.mark(state.ends.map((end) => place(depth, end, depthAt(depth, end))));
}

function pick(pixel) {
  state.ends = state.ends.length === 2 ? [pixel] : [...state.ends, pixel];
  mark();
}

function point(pixel) {
  state.pointer = pixel;
  mark();
}

// The cloud

let columns = 1;
let step = 1;

async function cloud() {
  const depth = state.depths[$("cloud-of").value];
  if (!depth || !table) return;
  for (const link of document.querySelectorAll("[data-path$='cloud.ply']")) link.href = `${link.dataset.path}?${view()}`;
  step = Math.ceil(Math.sqrt((depth.width * depth.height) / CLOUD));
  const answer = await asked(`depth/${depth.depth}/cloud.ply?${view()}&step=${step}`);
  const found = points(await answer.arrayBuffer());
  if (depth !== state.depths[$("cloud-of").value]) return;
  columns = Math.ceil(depth.width / step);
  $("turn").hidden = false;
  table.show(found, columns, field());
  mark();
}

// What people do

const panels = Object.fromEntries(["picture", "a", "b"].map((side) => [side, panel($(side), point, pick)]));
const table = turntable($("cloud"), (index) => pick([(index % columns) * step, Math.floor(index / columns) * step]));
if (!table) $("turn").replaceChildren("This browser shows no point cloud (WebGL is off); the PLY file can be downloaded.");

function cameraChanged() {
  if (!start) return;
  mark();
  if (Object.values(state.depths).some((depth) => depth.with_camera)) predict();
  else tried(cloud);
}

function unitChanged() {
  $("camera").placeholder = $("unit").value === "degrees" ? `${start.field_of_view}, assumed` : "not known";
  cameraChanged();
}

$("file").addEventListener("change", () => $("file").files[0] && tried(() => take($("file").files[0])));
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", name === "dragover");
    const file = name === "drop" && event.dataTransfer.files[0];
    if (file) tried(() => take(file));
  });
}
$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  predict();
});
$("frame").addEventListener("input", () => ($("model-a").value.trim() ? predict() : tried(picture)));
$("whole").addEventListener("click", whole);
$("stop").addEventListener("click", () => tried(() => asked("clip/stop", { method: "POST" })));
$("camera").addEventListener("change", cameraChanged);
$("farthest").addEventListener("change", cameraChanged);
$("unit").addEventListener("change", unitChanged);
$("cloud-of").addEventListener("change", () => tried(cloud));
$("clear").addEventListener("click", () => {
  state.ends = [];
  mark();
});

await tried(async () => {
  start = await (await asked("start")).json();
  $("file").accept = start.accept;
  $("model-a").value = start.model;
  $("short-side").value = start.short_side;
  $("farthest").value = start.farthest;
  unitChanged();
  document.documentElement.dataset.ready = "yes";
  const names = await (await asked("models")).json();
  $("models").replaceChildren(...names.map((name) => Object.assign(document.createElement("option"), { value: name })));
});
