// The one way to the server: JSON calls with the page's cookie. What goes wrong is an ApiError with the server's stable
// code, or `unreachable` when there was no answer at all.
import type { Json } from "./types";

export interface Violation {
  path: string;
  message: string;
}

export class ApiError extends Error {
  constructor(readonly status: number, readonly code: string, message: string, readonly errors: Violation[] = [], readonly retryAfter = 0) {
    super(message);
  }

  get unreachable(): boolean {
    return this.status === 0;
  }
}

/** Told of each answer: whether the server is there, and whether it wants a key. */
export type Listener = (seen: { reached: boolean; unauthorized: boolean }) => void;
const listeners = new Set<Listener>();
export function onAnswer(listener: Listener): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}
const tell = (reached: boolean, unauthorized: boolean) => listeners.forEach((listener) => listener({ reached, unauthorized }));

export interface Call {
  method?: "GET" | "POST" | "PUT" | "DELETE";
  body?: Json;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/** Send a call and return the answer, whatever its status; an ApiError if there is none. */
export async function send(path: string, { method = "GET", body, headers = {}, signal }: Call = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers: body === undefined ? headers : { "content-type": "application/json", ...headers },
      body: body === undefined ? null : JSON.stringify(body),
      credentials: "same-origin",
      signal: signal ?? null,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    tell(false, false);
    throw new ApiError(0, "unreachable", "The server does not answer. The page goes on as soon as it does.");
  }
  tell(true, response.status === 401);
  return response;
}

export async function call<T>(path: string, options: Call = {}): Promise<T> {
  const response = await send(path, options);
  if (!response.ok) throw await problemOf(response);
  if (response.status === 204) return undefined as T;
  return (await response.json()) as T;
}

export async function problemOf(response: Response): Promise<ApiError> {
  let told: { code?: string; detail?: string; title?: string; errors?: Violation[] } = {};
  try {
    told = (await response.json()) as typeof told;
  } catch {
    // no problem document: something between here and the server answered
  }
  const after = Number(response.headers.get("retry-after") ?? 0);
  return new ApiError(response.status, told.code ?? `http_${response.status}`, told.detail ?? told.title ?? `The server answered ${response.status}.`, told.errors ?? [], after);
}

export const query = (parameters: Record<string, string | string[] | number | undefined | null>): string => {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (Array.isArray(value)) value.forEach((one) => search.append(name, one));
    else if (value !== undefined && value !== null && value !== "") search.set(name, String(value));
  }
  const text = search.toString();
  return text ? `?${text}` : "";
};
