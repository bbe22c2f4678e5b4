// A JSON Schema as a form sees it: which kind of field, where a $ref leads, a first value, and what is wrong with a value.
// The server judges every input anyway; this is for telling it early, and in its place.
import type { Json, Schema } from "../api/types";

export type Obj = { [key: string]: Json };
export const isObject = (value: unknown): value is Obj => typeof value === "object" && value !== null && !Array.isArray(value);

export type Kind = "object" | "array" | "string" | "number" | "integer" | "boolean" | "enum" | "const" | "choice" | "json";

const DEPTH = 32;

/** Follow `$ref` within the root. */
export function resolve(schema: Schema | undefined, root: Schema, depth = 0): Schema {
  if (!isObject(schema)) return schema ?? true;
  if (typeof schema.$ref !== "string" || depth > DEPTH) return schema;
  const steps = schema.$ref.replace(/^#\/?/, "").split("/").filter(Boolean);
  let at: Json | undefined = root as Json;
  for (const step of steps) {
    const name = decodeURIComponent(step).replace(/~1/g, "/").replace(/~0/g, "~");
    at = isObject(at) ? at[name] : Array.isArray(at) ? at[Number(name)] : undefined;
  }
  const found = resolve(at as Schema | undefined, root, depth + 1);
  const { $ref: _, ...beside } = schema;
  return isObject(found) ? { ...found, ...beside } : found;
}

/** The schemas that a value may choose from, if they are all there is to it. */
export function choices(schema: Obj, root: Schema): Schema[] | null {
  const listed = (schema.oneOf ?? schema.anyOf) as Schema[] | undefined;
  return Array.isArray(listed) && listed.length ? listed.map((one) => resolve(one, root)) : null;
}

export function kindOf(schema: Schema, root: Schema): Kind {
  if (!isObject(schema)) return "json";
  if ("const" in schema) return "const";
  if (Array.isArray(schema.enum)) return "enum";
  if (schema.allOf || schema.if || schema.not || schema.patternProperties) return "json";
  if (choices(schema, root)) return schema.properties ? "json" : "choice";
  const types = (Array.isArray(schema.type) ? schema.type : [schema.type]).filter((one) => one !== "null");
  if (types.length !== 1) return "json";
  const type = types[0];
  if (type === undefined) return schema.properties ? "object" : "json";
  if (type === "object") return schema.properties || schema.additionalProperties === false ? "object" : "json";
  if (type === "array") return schema.items !== undefined && !schema.prefixItems ? "array" : "json";
  return ["string", "number", "integer", "boolean"].includes(type as string) ? (type as Kind) : "json";
}

/** Whether `null` is allowed beside the field's own kind. */
export const nullable = (schema: Schema): boolean => isObject(schema) && Array.isArray(schema.type) && schema.type.includes("null");

/** What a form starts with: defaults and constants, and empty values for what is required. `undefined`: left out. */
export function initial(raw: Schema | undefined, root: Schema, required: boolean, depth = 0): Json | undefined {
  const schema = resolve(raw, root);
  if (!isObject(schema)) return undefined;
  if ("default" in schema) return schema.default;
  if ("const" in schema) return required ? schema.const : undefined;
  if (depth > 8) return undefined;
  if (kindOf(schema, root) === "object" && (required || depth === 0)) {
    const needed = new Set((schema.required as string[] | undefined) ?? []);
    const made: Obj = {};
    for (const [name, inner] of Object.entries((schema.properties ?? {}) as Obj)) {
      const value = initial(inner as Schema, root, needed.has(name), depth + 1);
      if (value !== undefined) made[name] = value;
    }
    return made;
  }
  if (!required) return undefined;
  const kind = kindOf(schema, root);
  if (kind === "choice") return initial(choices(schema, root)![0], root, true, depth + 1);
  return kind === "boolean" ? false : kind === "array" ? [] : undefined;
}

export interface Flaw {
  /** A JSON pointer. */
  path: string;
  message: string;
}

const FORMATS: Record<string, [RegExp, string]> = {
  email: [/^[^@\s]+@[^@\s]+$/, "must be an address like ada@example.com"],
  date: [/^\d{4}-\d{2}-\d{2}$/, "must be a date like 2026-01-31"],
  "date-time": [/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}.*(Z|[+-]\d{2}:\d{2})$/i, "must be a moment like 2026-01-31T12:00:00Z"],
  uuid: [/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i, "must be a UUID"],
};

/** What a form can say about a value: types, bounds, what is missing. Keywords that it doesn't know it leaves to the server. */
export function flaws(value: Json | undefined, raw: Schema | undefined, root: Schema, path = "", depth = 0): Flaw[] {
  const schema = resolve(raw, root);
  const wrong = (message: string): Flaw[] => [{ path, message }];
  if (value === undefined) return wrong("is required");
  if (schema === false) return wrong("is not allowed");
  if (!isObject(schema) || depth > DEPTH) return [];
  const same = (other: Json) => JSON.stringify(other) === JSON.stringify(value);
  if ("const" in schema && !same(schema.const!)) return wrong(`must be ${JSON.stringify(schema.const)}`);
  if (Array.isArray(schema.enum) && !schema.enum.some(same)) return wrong("must be one of the choices");
  const named = (Array.isArray(schema.type) ? schema.type : [schema.type]) as Json[];
  if (schema.type !== undefined && !typesOf(value).some((one) => named.includes(one))) {
    return wrong(`must be ${Array.isArray(schema.type) ? schema.type.join(" or ") : article(String(schema.type))}`);
  }
  const listed = choices(schema, root);
  if (listed && !listed.some((one) => !flaws(value, one, root, path, depth + 1).length)) return wrong("fits none of the choices");
  if (typeof value === "string") return textFlaws(value, schema).flatMap(wrong);
  if (typeof value === "number") return numberFlaws(value, schema).flatMap(wrong);
  if (Array.isArray(value)) {
    const own = [
      ...(typeof schema.minItems === "number" && value.length < schema.minItems ? wrong(`needs at least ${schema.minItems}`) : []),
      ...(typeof schema.maxItems === "number" && value.length > schema.maxItems ? wrong(`may have at most ${schema.maxItems}`) : []),
    ];
    return schema.items === undefined ? own : [...own, ...value.flatMap((item, index) => flaws(item, schema.items as Schema, root, `${path}/${index}`, depth + 1))];
  }
  return isObject(value) ? objectFlaws(value, schema, root, path, depth) : [];
}

function objectFlaws(value: Obj, schema: Obj, root: Schema, path: string, depth: number): Flaw[] {
  const properties = (schema.properties ?? {}) as { [name: string]: Schema };
  const inside = (name: string) => `${path}/${name.replace(/~/g, "~0").replace(/\//g, "~1")}`;
  const missing = ((schema.required as string[] | undefined) ?? []).filter((name) => !(name in value));
  return [
    ...missing.map((name) => ({ path: inside(name), message: "is required" })),
    ...Object.entries(value).flatMap(([name, inner]) => {
      if (Object.hasOwn(properties, name)) return flaws(inner, properties[name], root, inside(name), depth + 1);
      return schema.additionalProperties === false && !schema.patternProperties ? [{ path: inside(name), message: "is not known" }] : [];
    }),
  ];
}

function textFlaws(value: string, schema: Obj): string[] {
  const length = [...value].length;
  const found: string[] = [];
  if (typeof schema.minLength === "number" && length < schema.minLength) found.push(schema.minLength === 1 ? "must not be empty" : `needs at least ${schema.minLength} characters`);
  if (typeof schema.maxLength === "number" && length > schema.maxLength) found.push(`may have at most ${schema.maxLength} characters`);
  const format = typeof schema.format === "string" ? FORMATS[schema.format] : undefined;
  if (format && !format[0].test(value)) found.push(format[1]);
  return found;
}

function numberFlaws(value: number, schema: Obj): string[] {
  const bound = (name: string, bad: (limit: number) => boolean, words: string): string[] => {
    const limit = schema[name];
    return typeof limit === "number" && bad(limit) ? [`must be ${words} ${limit}`] : [];
  };
  return [
    ...bound("minimum", (limit) => value < limit, "at least"),
    ...bound("maximum", (limit) => value > limit, "at most"),
    ...bound("exclusiveMinimum", (limit) => value <= limit, "more than"),
    ...bound("exclusiveMaximum", (limit) => value >= limit, "less than"),
  ];
}

function typesOf(value: Json): Json[] {
  if (value === null) return ["null"];
  if (Array.isArray(value)) return ["array"];
  if (typeof value === "number") return Number.isInteger(value) ? ["integer", "number"] : ["number"];
  return [typeof value];
}

const article = (type: string): string => `${/^[aeio]/.test(type) ? "an" : "a"} ${type}`;
