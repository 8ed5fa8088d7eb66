// The server's routes: JSON, and answers that come as server-sent events.

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// Beside the page, so that the server may stand behind any path of a proxy.
export const HERE = new URL(".", location.href).href.replace(/\/$/, "");
const GONE = "The server cannot be reached.";
const BROKEN = "The answer broke off: the connection to the server was lost.";

function heads(key) {
  if (!/^[\x20-\x7e]*$/.test(key)) {
    throw new Refused(0, "The key holds characters that no request can carry.");
  }
  const found = { "Content-Type": "application/json" };
  if (key) found.Authorization = `Bearer ${key}`;
  return found;
}

async function refusal(response) {
  try {
    const { error } = await response.json();
    return new Refused(response.status, `${error.message} (${response.status})`);
  } catch {
    return new Refused(response.status, `The server answered with ${response.status}.`);
  }
}

async function asked(path, key, body, signal) {
  const how = { headers: heads(key), signal };
  if (body !== undefined) Object.assign(how, { method: "POST", body: JSON.stringify(body) });
  let response;
  try {
    response = await fetch(HERE + path, how);
  } catch (error) {
    throw error.name === "AbortError" ? error : new Refused(0, GONE);
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

export async function get(path, key) {
  return (await asked(path, key)).json();
}

export async function post(path, key, body) {
  return (await asked(path, key, body)).json();
}

// The chunks of a streamed answer. One that ends without its last word is an error.
export async function* streamed(path, key, body, signal) {
  const response = await asked(path, key, body, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch (error) {
      throw error.name === "AbortError" ? error : new Refused(0, BROKEN);
    }
    if (part.done) throw new Refused(0, BROKEN);
    held += part.value;
    const events = held.split("\n\n");
    held = events.pop();
    for (const event of events) {
      const data = event.replace(/^data: /, "");
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new Refused(0, chunk.error.message);
      yield chunk;
    }
  }
}
