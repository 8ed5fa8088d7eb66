// The page: a request from what is chosen, two streams of text, and what was told of them.

import { asCurl, asPython, route } from "./code.js";
import { byId, element } from "./dom.js";
import { Panel, heat } from "./panel.js";
import { figureOf, seriesOf } from "./plot.js";
import { HERE, get, post, streamed } from "./server.js";
import { Steerings } from "./steerings.js";

const TOLD = { stream: true, steering_report: true, steering_tokens: true };
const NO_FEATURES = "The engine of this server does not tell features token by token.";
const NO_STEERING = "No steering is chosen.";

const panels = {
  unsteered: new Panel(byId("unsteered"), "Unsteered"),
  steered: new Panel(byId("steered"), "Steered"),
};
const steerings = new Steerings(byId("steerings"), showCode, load);
let model = null;
let running = null;

const key = () => byId("key").value.trim();
const kind = () => (byId("chat").checked ? "chat" : "text");

function say(words) {
  byId("status").textContent = words;
}

function fail(error) {
  byId("error").textContent = error.message;
  if (error.status === 401) byId("key-part").open = true;
}

async function look() {
  byId("error").textContent = "";
  try {
    const [models, listed] = await Promise.all([get("/v1/models", key()), get("/v1/steerings", key())]);
    model = models.data[0];
    byId("model").textContent = model.id;
    byId("chat").disabled = !model.chat;
    byId("no-chat").hidden = model.chat;
    if (!model.chat) byId("text").checked = true;
    steerings.show(listed.data, listed.max_strength);
  } catch (error) {
    fail(error);
  }
  showCode();
}

async function load(name, button) {
  button.disabled = true;
  try {
    await post("/v1/steerings", key(), { name });
    await look();
    steerings.focus(name);
    say(`${name} is loaded.`);
  } catch (error) {
    button.disabled = false;
    fail(error);
  }
}

// What is asked of the server, but for how it is steered.
function plainBody() {
  const prompt = byId("prompt").value;
  const number = (id) => Number(byId(id).value);
  return {
    model: model?.id ?? "MODEL",
    ...(kind() === "chat" ? { messages: [{ role: "user", content: prompt }] } : { prompt }),
    max_tokens: number("tokens"),
    temperature: number("temperature"),
    top_p: number("top-p"),
    seed: number("seed"),
  };
}

function steeredBody() {
  const asked = steerings.asked;
  return Object.keys(asked).length ? { ...plainBody(), steering: asked } : plainBody();
}

function showCode() {
  const about = [HERE, kind(), steeredBody(), key() !== ""];
  byId("curl").textContent = asCurl(...about);
  byId("python").textContent = asPython(...about);
}

function showColours() {
  const select = byId("colour");
  const names = [...new Set([...panels.steered.features, ...panels.unsteered.features])];
  const shown = [...select.options].map((one) => one.value).filter(Boolean);
  if (names.join() === shown.join()) return;
  const before = select.value;
  const options = names.map((name) => element("option", { value: name }, name));
  select.replaceChildren(element("option", { value: "" }, "no feature"), ...options);
  select.value = names.includes(before) ? before : (names[0] ?? "");
  paint();
}

function paint() {
  for (const panel of Object.values(panels)) panel.paintBy(byId("colour").value);
}

// One answer, from its first token to its last; what was told at the end.
async function write(panel, path, body, signal) {
  let ended = null;
  try {
    for await (const chunk of streamed(path, key(), body, signal)) {
      if (signal.aborted) return null; // what had come already belongs to another answer
      const choice = chunk.choices[0];
      panel.add(choice.delta?.content ?? choice.text ?? "", choice.steering_tokens);
      if (choice.steering_tokens) showColours();
      if (choice.finish_reason) ended = choice;
    }
  } catch (error) {
    if (error.name !== "AbortError") panel.error.textContent = error.message;
    if (error.status === 401) byId("key-part").open = true;
    return null;
  }
  if (panel.tokens.some((token) => token.features === null)) panel.note.textContent = NO_FEATURES;
  return ended;
}

function track(steered, unsteered) {
  const place = byId("tracking");
  const note = (words) => place.replaceChildren(element("p", { class: "quiet" }, words));
  const names = (steerings) => new Map((steerings ?? []).map((one) => [one.feature, one]));
  if (!steered) return note("The steered answer did not end.");
  if (!steered.steering_report) return note("The engine of this server does not report tracking.");
  const beside = names(unsteered?.steering_report);
  const figures = steered.steering_report.map((report) => {
    if (!report.blocks) {
      return element("p", { class: "quiet" }, `${report.feature}: no token of this answer was steered.`);
    }
    const steering = steerings.known.find((one) => one.id === report.steering);
    return figureOf(report, seriesOf(report, beside.get(report.feature), steering));
  });
  return figures.length ? place.replaceChildren(...figures) : note(NO_STEERING);
}

function sides(signal) {
  const path = route(kind());
  const readable = steerings.readable;
  const plain = { ...plainBody(), ...TOLD };
  if (Object.keys(readable).length) plain.steering = readable;
  const unsteered = write(panels.unsteered, path, plain, signal);
  if (!steerings.chosen.length) {
    panels.steered.note.textContent = NO_STEERING;
    return [unsteered, Promise.resolve(null)];
  }
  return [unsteered, write(panels.steered, path, { ...steeredBody(), ...TOLD }, signal)];
}

async function go(event) {
  event.preventDefault();
  running?.abort();
  const mine = (running = new AbortController());
  byId("error").textContent = "";
  for (const panel of Object.values(panels)) panel.clear();
  byId("tracking").replaceChildren();
  byId("stop").disabled = false;
  say("Writing.");
  const [unsteered, steered] = await Promise.all(sides(mine.signal));
  if (running !== mine) return;
  running = null;
  byId("stop").disabled = true;
  if (steerings.chosen.length) track(steered, unsteered);
  else byId("tracking").replaceChildren(element("p", { class: "quiet" }, NO_STEERING));
  if (mine.signal.aborted) return say("Stopped.");
  const counts = Object.entries(panels).map(([name, panel]) => `${name} ${panel.tokens.length}`);
  say(unsteered || steered ? `Written. Tokens: ${counts.join(", ")}.` : "Neither text came to its end.");
}

async function copy(id) {
  const text = byId(id).textContent;
  try {
    await navigator.clipboard.writeText(text);
    say("Copied.");
  } catch {
    getSelection().selectAllChildren(byId(id));
    say("The browser does not let this page copy; the text is selected.");
  }
}

for (const sample of document.querySelectorAll(".legend .token")) {
  heat(sample, Number(sample.dataset.of));
}
byId("form").addEventListener("submit", go);
byId("form").addEventListener("input", showCode);
byId("stop").addEventListener("click", () => running?.abort());
byId("key").addEventListener("change", look);
byId("colour").addEventListener("change", paint);
byId("show-values").addEventListener("change", (event) => {
  document.body.classList.toggle("values", event.target.checked);
});
byId("prompt").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("form").requestSubmit();
});
byId("copy-curl").addEventListener("click", () => copy("curl"));
byId("copy-python").addEventListener("click", () => copy("python"));
look();
