// One artifact's page: its request as a form and as JSON, sent with the page's session, the answer or the frames shown
// as they come. Everything that came from elsewhere is put in as text, never as markup.

const here = location.pathname.replace(/\/docs\/?$/, "");
const page = document.getElementById("page");

// --- elements ------------------------------------------------------------------------------------------------------

let unique = 0;
const nextId = () => `e${++unique}`;

function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const pretty = (value) => JSON.stringify(value, null, 2);

// --- the schema as a form -------------------------------------------------------------------------------------------
// A field is {element, read(), write(value)}; read() is undefined for what was left out.

function resolve(schema, root, depth = 0) {
  if (schema && typeof schema === "object" && typeof schema.$ref === "string" && depth < 32) {
    const steps = schema.$ref.replace(/^#\/?/, "").split("/").filter(Boolean);
    const target = steps.reduce((at, step) => at?.[decodeURIComponent(step).replace(/~1/g, "/").replace(/~0/g, "~")], root);
    const { $ref, ...beside } = schema;
    const found = resolve(target ?? true, root, depth + 1);
    return typeof found === "object" ? { ...found, ...beside } : found;
  }
  return schema;
}

function kindOf(schema) {
  if (schema === true || schema === false || schema === undefined) return "json";
  if ("const" in schema) return "const";
  if (Array.isArray(schema.enum)) return "enum";
  if (schema.anyOf || schema.oneOf || schema.allOf || schema.if) return "json";
  const type = Array.isArray(schema.type) ? schema.type.filter((one) => one !== "null") : [schema.type];
  if (type.length !== 1) return "json";
  if (type[0] === undefined) return schema.properties ? "object" : "json";
  return type[0] === "array" && typeof resolve(schema.items, {}) === "boolean" ? "json" : type[0];
}

function field(raw, root, label, required, depth = 0) {
  const schema = resolve(raw, root);
  const kind = depth > 6 ? "json" : kindOf(schema);
  const described = schema && typeof schema === "object" ? schema.description || schema.title || "" : "";
  const makers = { object: objectField, array: arrayField, boolean: booleanField, enum: enumField, const: constField };
  return (makers[kind] || inputField)(schema, root, label, required, depth, described, kind);
}

function labelled(label, required, described, input, more = []) {
  const id = nextId();
  input.id = id;
  return h("div", {},
    h("label", { for: id, class: required ? "required" : "" }, label),
    described ? h("div", { class: "hint" }, described) : null,
    input, ...more);
}

function inputField(schema, _root, label, required, _depth, described, kind) {
  const numeric = kind === "number" || kind === "integer";
  const json = !numeric && kind !== "string";
  const input = json
    ? h("textarea", { spellcheck: "false", placeholder: "JSON" })
    : h("input", {
        type: numeric ? "number" : schema.format === "date" ? "date" : "text",
        step: kind === "integer" ? "1" : numeric ? "any" : null,
        min: numeric ? schema.minimum : null, max: numeric ? schema.maximum : null,
        maxlength: schema.maxLength, autocomplete: "off",
      });
  const read = () => {
    const text = input.value;
    if (numeric) return text === "" ? undefined : Number(text);
    if (!json) return text === "" && !required ? undefined : text;
    if (text.trim() === "") return undefined;
    try { input.removeAttribute("aria-invalid"); return JSON.parse(text); }
    catch (error) { input.setAttribute("aria-invalid", "true"); throw new Error(`${label}: ${error.message}`); }
  };
  const write = (value) => { input.value = value === undefined ? "" : json ? pretty(value) : String(value); };
  if (schema && schema.default !== undefined) write(schema.default);
  return { element: labelled(label, required, described, input), read, write };
}

function booleanField(schema, _root, label, required, _depth, described) {
  const input = h("input", { type: "checkbox" });
  let touched = required;
  input.addEventListener("change", () => { touched = true; });
  const write = (value) => { touched = required || value !== undefined; input.checked = value === true; };
  if (schema.default !== undefined) write(schema.default);
  const element = h("div", {}, h("label", { class: required ? "required" : "" }, input, label),
    described ? h("div", { class: "hint" }, described) : null);
  return { element, read: () => (touched ? input.checked : undefined), write };
}

function enumField(schema, _root, label, required, _depth, described) {
  const input = h("select", {}, h("option", { value: "" }, required ? "choose…" : "—"),
    ...schema.enum.map((value, n) => h("option", { value: String(n) }, typeof value === "string" ? value : JSON.stringify(value))));
  const write = (value) => { const n = schema.enum.findIndex((one) => JSON.stringify(one) === JSON.stringify(value)); input.value = n < 0 ? "" : String(n); };
  if (schema.default !== undefined) write(schema.default);
  return { element: labelled(label, required, described, input), read: () => (input.value === "" ? undefined : schema.enum[Number(input.value)]), write };
}

function constField(schema, _root, label, required, _depth, described) {
  const input = h("input", { readonly: true, value: JSON.stringify(schema.const) });
  return { element: labelled(label, required, described, input), read: () => schema.const, write: () => {} };
}

function objectField(schema, root, label, required, depth, described) {
  const needed = new Set(schema.required || []);
  const parts = Object.entries(schema.properties || {}).map(([name, inner]) => [name, field(inner, root, name, needed.has(name), depth + 1)]);
  let rest = {};
  const box = depth === 0 ? h("div", {}) : h("fieldset", {}, h("legend", { class: required ? "required" : "" }, label));
  if (described && depth > 0) box.append(h("div", { class: "hint" }, described));
  for (const [, part] of parts) box.append(part.element);
  let free = null;
  if (parts.length === 0) {
    free = inputField({}, root, depth === 0 ? "input" : `${label} (any fields)`, required, depth, "", "json");
    box.append(free.element);
  }
  const read = () => {
    if (free) return free.read() ?? (required ? {} : undefined);
    const out = { ...rest };
    for (const [name, part] of parts) { const value = part.read(); if (value !== undefined) out[name] = value; }
    return !required && Object.keys(out).length === 0 ? undefined : out;
  };
  const write = (value) => {
    if (free) { free.write(value); return; }
    const given = value && typeof value === "object" && !Array.isArray(value) ? value : {};
    const known = new Set(parts.map(([name]) => name));
    rest = Object.fromEntries(Object.entries(given).filter(([name]) => !known.has(name)));
    for (const [name, part] of parts) part.write(given[name]);
  };
  return { element: box, read, write };
}

function arrayField(schema, root, label, required, depth, described) {
  const list = h("div", {});
  let items = [];
  const add = (value) => {
    const part = field(schema.items ?? true, root, `${label} ${items.length + 1}`, true, depth + 1);
    if (value !== undefined) part.write(value);
    const line = h("div", {}, part.element, h("button", {
      type: "button", class: "small", "aria-label": `remove ${label} item`,
      onclick: () => { items = items.filter((one) => one.part !== part); line.remove(); changed(); },
    }, "Remove"));
    items.push({ part, line });
    list.append(line);
  };
  const element = h("fieldset", {}, h("legend", { class: required ? "required" : "" }, label),
    described ? h("div", { class: "hint" }, described) : null, list,
    h("div", { class: "row" }, h("button", { type: "button", class: "small", onclick: () => { add(); changed(); } }, `Add to ${label}`)));
  const read = () => {
    const out = items.map(({ part }) => part.read()).filter((value) => value !== undefined);
    return out.length === 0 && !required ? undefined : out;
  };
  const write = (value) => {
    items.forEach(({ line }) => line.remove());
    items = [];
    (Array.isArray(value) ? value : []).forEach(add);
  };
  return { element, read, write };
}

let changed = () => {};

/** A value that fits the required part of a schema as far as can be guessed: what the JSON editor begins with. */
function sample(raw, root, depth = 0) {
  const schema = resolve(raw, root);
  if (schema === true || schema === false || depth > 6 || typeof schema !== "object") return {};
  if (schema.default !== undefined) return schema.default;
  if (Array.isArray(schema.examples) && schema.examples.length) return schema.examples[0];
  if ("const" in schema) return schema.const;
  if (Array.isArray(schema.enum)) return schema.enum[0];
  const choice = (schema.oneOf || schema.anyOf || [])[0];
  if (choice !== undefined) return sample(choice, root, depth + 1);
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  if (type === "string") return "";
  if (type === "number" || type === "integer") return schema.minimum ?? 0;
  if (type === "boolean") return false;
  if (type === "null") return null;
  if (type === "array") return Array.from({ length: Math.min(schema.minItems || 0, 5) }, () => sample(schema.items ?? true, root, depth + 1));
  const out = {};
  for (const name of schema.required || []) out[name] = sample((schema.properties || {})[name] ?? true, root, depth + 1);
  return out;
}

// --- server-sent events ---------------------------------------------------------------------------------------------

/** Yield {id, data} of a response's stream. */
async function* eventsOf(response, signal) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  signal?.addEventListener("abort", () => reader.cancel().catch(() => {}));
  let buffer = "";
  let event = { id: null, data: [] };
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    buffer += value;
    const lines = buffer.split(/\r\n|\n|\r(?!$)/);
    buffer = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (event.data.length) yield { id: event.id, data: JSON.parse(event.data.join("\n")) };
        event = { id: null, data: [] };
      } else if (line.startsWith("data:")) event.data.push(line.slice(5).replace(/^ /, ""));
      else if (line.startsWith("id:")) event.id = line.slice(3).trim();
    }
  }
}

// --- the page -------------------------------------------------------------------------------------------------------

async function main() {
  const response = await fetch(`${here}/openapi.json`, { headers: { accept: "application/json" } });
  if (response.status === 401) return signIn();
  const body = await response.json();
  if (!response.ok) return show(h("p", { class: "status bad", role: "alert" }, `${body.title}: ${body.detail}`));
  render(body);
}

function show(...children) {
  page.replaceChildren(...children);
  page.setAttribute("aria-busy", "false");
}

function signIn(message) {
  const key = h("input", { type: "password", autocomplete: "current-password", required: true, name: "key" });
  const send = async (event) => {
    event.preventDefault();
    const answer = await fetch("/session", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ key: key.value }) });
    if (answer.ok) return main();
    signIn((await answer.json()).detail);
  };
  show(h("form", { class: "card signin", onsubmit: send },
    h("h1", {}, "Sign in"),
    h("p", { class: "note" }, "Give an API key once; this browser keeps a cookie in its place. ", h("code", {}, "axiom keys create --name me"), " makes one."),
    labelled("API key", true, "", key),
    message ? h("p", { class: "wrong", role: "alert" }, message) : null,
    h("div", { class: "row" }, h("button", { class: "primary" }, "Sign in"))));
  key.focus();
}

function render(api) {
  document.title = `${api.info.title} · Axiom`;
  const path = Object.keys(api.paths).find((one) => one.includes("/invoke"));
  const streams = path.endsWith("/stream");
  const schemas = api.components.schemas;
  const graphId = api.info["x-graph-id"];
  const root = api;
  const form = field({ $ref: "#/components/schemas/Input" }, root, "input", true);
  const start = sample({ $ref: "#/components/schemas/Input" }, root);
  const editor = h("textarea", { class: "body", spellcheck: "false", "aria-label": "Input as JSON" });
  const wait = h("input", { type: "checkbox", checked: true });
  const seconds = h("input", { type: "number", min: "0", max: "3600", step: "any", value: "30" });
  const key = h("input", { autocomplete: "off", placeholder: "none" });
  const curl = h("pre", {});
  const wrong = h("p", { class: "wrong", role: "alert" });
  const answer = h("section", { class: "card", "aria-live": "polite" }, h("h2", {}, "Answer"), h("p", { class: "note" }, "Nothing was sent yet."));
  let asForm = true;

  const input = () => (asForm ? form.read() : JSON.parse(editor.value));
  const request = () => ({
    graph_id: graphId, input: input() ?? {},
    ...(streams ? {} : { wait: wait.checked }),
    ...(seconds.value === "" ? {} : { timeout_seconds: Number(seconds.value) }),
  });
  changed = () => {
    wrong.textContent = "";
    try {
      const body = JSON.stringify(request()).replace(/'/g, "'\\''");
      const idempotent = key.value ? ` -H 'Idempotency-Key: ${key.value.replace(/'/g, "'\\''")}'` : "";
      curl.textContent = `curl ${streams ? "-N " : ""}${location.origin}${path} -H "Authorization: Bearer $AXIOM_API_KEY" -H 'Content-Type: application/json'${idempotent} -d '${body}'`;
    } catch (error) { wrong.textContent = error.message; }
  };

  form.write(start);
  editor.value = pretty(start);
  const formPane = h("div", { role: "tabpanel" }, form.element);
  const jsonPane = h("div", { role: "tabpanel", hidden: true }, editor);
  const tab = (name, pane, other, isForm) => h("button", {
    type: "button", role: "tab", "aria-selected": String(isForm),
    onclick: (event) => {
      try {
        const value = input();
        if (isForm) form.write(value); else editor.value = pretty(value ?? {});
      } catch (error) { wrong.textContent = error.message; return; }
      asForm = isForm;
      pane.hidden = false; other.hidden = true;
      for (const one of event.target.parentElement.children) one.setAttribute("aria-selected", String(one === event.target));
      changed();
    },
  }, name);

  let running = null;
  const stop = h("button", { type: "button", hidden: true, onclick: () => running?.cancel() }, "Cancel the run");
  const send = h("button", { class: "primary" }, streams ? "Send and stream" : "Send");
  const submit = async (event) => {
    event.preventDefault();
    let body;
    try { body = request(); } catch (error) { wrong.textContent = error.message; return; }
    send.disabled = true;
    const headers = { "content-type": "application/json", ...(key.value ? { "idempotency-key": key.value } : {}) };
    running = makeRun(answer, stop);
    try { await (streams ? running.stream(path, headers, body) : running.unary(path, headers, body)); }
    finally { send.disabled = false; stop.hidden = true; }
  };

  const requestCard = h("form", { class: "card", onsubmit: submit, oninput: () => changed(), novalidate: true },
    h("h2", {}, "Request"),
    h("div", { class: "tabs", role: "tablist" }, tab("Form", formPane, jsonPane, true), tab("JSON", jsonPane, formPane, false)),
    formPane, jsonPane,
    h("div", { class: "row" },
      streams ? null : h("label", {}, wait, "wait for the result"),
      h("label", { class: "seconds" }, "at most (seconds)", seconds)),
    labelled("Idempotency-Key", false, "the same key never starts a second run", key),
    wrong, h("div", { class: "row" }, send, stop),
    h("details", {}, h("summary", {}, "As a curl line"), curl));

  const codes = Object.entries(api.components.responses).map(([name, told]) => h("tr", {}, h("td", {}, h("code", {}, name.replace("Problem", ""))), h("td", {}, told.description)));
  show(
    h("div", { class: "title" }, h("h1", {}, api.info.title), h("span", { class: "badge" }, api.info.version), h("span", { class: "badge" }, streams ? "pipeline" : "unary")),
    h("p", { class: "about" }, api.info.description),
    h("p", { class: "endpoint" }, h("span", { class: "method" }, "POST"), path, h("br"), h("span", { class: "hint" }, "graph_id ", graphId)),
    h("div", { class: "columns" }, requestCard, h("div", {}, answer,
      h("section", { class: "card" }, h("h2", {}, "Reference"),
        h("details", { open: true }, h("summary", {}, "Input"), h("pre", {}, pretty(schemas.Input))),
        h("details", {}, h("summary", {}, streams ? "Frame's payload" : "Output"), h("pre", {}, pretty(schemas.Output))),
        h("details", {}, h("summary", {}, "Errors (RFC 9457 problem documents)"), h("table", {}, h("tbody", {}, ...codes))),
        h("p", {}, h("a", { href: `${here}/openapi.json` }, "openapi.json"))))));
  document.getElementById("who").replaceChildren(h("button", { class: "small", onclick: async () => { await fetch("/session", { method: "DELETE" }); location.reload(); } }, "Sign out"));
  changed();
}

/** One request and what comes of it, written into `answer`. */
function makeRun(answer, stop) {
  const abort = new AbortController();
  let executionId = null;
  const heading = (text, good, ...rest) => answer.replaceChildren(h("h2", {}, "Answer"), h("p", { class: `status ${good ? "good" : "bad"}` }, text), ...rest);
  const began = performance.now();
  const took = () => `${Math.round(performance.now() - began)} ms`;
  const known = (id) => { executionId = id; stop.hidden = !id; };

  async function failed(response) {
    const body = await response.json().catch(() => ({}));
    const errors = (body.errors || []).map((one) => h("tr", {}, h("td", {}, h("code", {}, one.path || "/")), h("td", {}, one.message)));
    heading(`${response.status} ${body.title || ""} · ${took()}`, false,
      h("p", {}, body.detail || ""), errors.length ? h("table", {}, h("tbody", {}, ...errors)) : null, h("pre", {}, pretty(body)));
  }

  async function unary(path, headers, body) {
    answer.replaceChildren(h("h2", {}, "Answer"), h("p", { class: "note" }, "Waiting…"));
    try {
      const response = await fetch(path, { method: "POST", headers, body: JSON.stringify(body), signal: abort.signal });
      if (!response.ok) return failed(response);
      const told = await response.json();
      const ended = told.result ? (told.result.success ? "completed" : "failed") : "accepted, still running";
      heading(`${response.status} ${ended} · ${took()}`, !told.result || told.result.success, h("pre", {}, pretty(told)));
    } catch (error) { if (error.name !== "AbortError") heading(`No answer: ${error.message}`, false); }
  }

  async function stream(path, headers, body) {
    const list = h("ol", { class: "frames", tabindex: "0", "aria-label": "Frames" });
    const state = h("p", { class: "note" }, "Waiting for frames…");
    answer.replaceChildren(h("h2", {}, "Frames"), state, list);
    let last = null;
    let count = 0;
    let response = await fetch(path, { method: "POST", headers: { ...headers, accept: "text/event-stream" }, body: JSON.stringify(body), signal: abort.signal }).catch(() => null);
    if (!response) return heading("No answer: the server can't be reached", false);
    if (!response.ok) return failed(response);
    known(response.headers.get("axiom-execution-id"));
    for (let tries = 0; tries < 5; tries += 1) {
      try {
        for await (const { id, data } of eventsOf(response, abort.signal)) {
          if (id !== null) last = id;
          tries = 0;
          if (data.is_final) {
            state.className = `status ${data.success ? "good" : "bad"}`;
            state.textContent = `${data.success ? "completed" : data.error} · ${count} frames · ${took()}`;
            return known(null);
          }
          count += 1;
          const near = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
          list.append(h("li", {}, h("span", { class: "n" }, String(data.frame_index)), h("span", {}, JSON.stringify(data.payload))));
          while (list.childElementCount > 2000) list.firstElementChild.remove();
          if (near) list.scrollTop = list.scrollHeight;
          state.textContent = `${count} frames · ${took()}`;
        }
      } catch { /* the connection broke off: join again behind the last frame */ }
      if (abort.signal.aborted || !executionId) return;
      await new Promise((done) => setTimeout(done, 300));
      const again = last === null ? {} : { "last-event-id": last };
      const joined = await fetch(`/invocations/v1/flows/${executionId}/stream`, { headers: again, signal: abort.signal }).catch(() => null);
      if (joined?.status === 204) return;
      if (joined?.ok) response = joined;
    }
    state.className = "status bad";
    state.textContent = `the stream broke off after ${count} frames`;
  }

  async function cancel() {
    if (executionId) await fetch(`/invocations/v1/flows/${executionId}`, { method: "DELETE" });
  }
  return { unary, stream, cancel };
}

main().catch((error) => show(h("p", { class: "status bad", role: "alert" }, String(error))));
