// Server-sent events over fetch: unlike an EventSource it can send a body, start behind an event, and tell of a refusal.
import { problemOf, send, type Call } from "./client";

export interface Message {
  id: string | null;
  data: string;
}

/** Take whole messages off the front of `text`: what was found, and what is left. */
export function parse(text: string): [Message[], string] {
  const parts = text.replace(/\r\n?/g, "\n").split("\n\n");
  const rest = parts.pop() ?? "";
  const messages = parts.flatMap((part) => {
    let id: string | null = null;
    const data: string[] = [];
    for (const line of part.split("\n")) {
      const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
      if (name === "id") id = value ?? "";
      if (name === "data") data.push(value ?? "");
    }
    return data.length ? [{ id, data: data.join("\n") }] : [];
  });
  return [messages, rest];
}

/** Call `take` with the messages of each bite as they come, until the stream ends. Rejects with an ApiError or an abort. */
export async function stream(path: string, take: (messages: Message[]) => void, options: Call = {}): Promise<void> {
  const response = await send(path, { ...options, headers: { accept: "text/event-stream", ...options.headers } });
  if (response.status === 204) return;
  if (!response.ok || !response.body) throw await problemOf(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += value;
    if (rest.endsWith("\r")) continue; // half of a line's end
    const [messages, left] = parse(rest);
    rest = left;
    if (messages.length) take(messages);
  }
}
