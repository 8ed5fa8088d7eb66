// The request as others would send it: with curl, or with OpenAI's client in Python.

const ROUTES = { chat: "/v1/chat/completions", text: "/v1/completions" };

export function route(kind) {
  return ROUTES[kind];
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

export function asCurl(server, kind, body, locked) {
  const lines = [`curl ${quoted(server + route(kind))}`, "-H 'Content-Type: application/json'"];
  if (locked) lines.push('-H "Authorization: Bearer $STEERSMAN_API_KEY"');
  lines.push(`-d ${quoted(JSON.stringify(body, null, 2))}`);
  return lines.join(" \\\n  ");
}

// A value as Python writes it; JSON's strings and numbers are Python's as they are.
function literal(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object") {
    const pairs = Object.entries(value).map(([key, one]) => `${JSON.stringify(key)}: ${literal(one)}`);
    return `{${pairs.join(", ")}}`;
  }
  return JSON.stringify(value);
}

export function asPython(server, kind, body, locked) {
  const { steering, ...usual } = body;
  const fields = Object.entries(usual).map(([name, value]) => `    ${name}=${literal(value)},`);
  if (steering) fields.push(`    extra_body={"steering": ${literal(steering)}},`);
  const key = locked ? 'os.environ["STEERSMAN_API_KEY"]' : '"none"';
  const chat = kind === "chat";
  return [
    ...(locked ? ["import os", ""] : []),
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url=${literal(`${server}/v1`)}, api_key=${key})`,
    `answer = client.${chat ? "chat.completions" : "completions"}.create(`,
    ...fields,
    ")",
    `print(answer.choices[0].${chat ? "message.content" : "text"})`,
    "",
  ].join("\n");
}
