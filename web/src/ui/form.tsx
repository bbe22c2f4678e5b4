// A form made from a JSON Schema. One value, shown as fields; what the form can't draw is a box for JSON, for that field
// only. Nothing is evaluated, nothing of the schema becomes markup.
import { useId, useState, type ReactNode } from "react";
import type { Json, Schema } from "../api/types";
import { parseJson, pretty } from "../state/json";
import { choices, initial, isObject, kindOf, nullable, resolve, type Flaw, type Obj } from "../state/schema";

export interface FieldProps {
  schema: Schema | undefined;
  root: Schema;
  value: Json | undefined;
  change: (value: Json | undefined) => void;
  flaws: Flaw[];
  path?: string;
  label?: string;
  required?: boolean;
  /** Whether this is the whole form, which needs no frame around it. */
  top?: boolean;
}

export function SchemaForm(props: Omit<FieldProps, "top">) {
  return <div className="form"><Field {...props} top required /></div>;
}

function Field(props: FieldProps) {
  const schema = resolve(props.schema, props.root);
  const kind = kindOf(schema, props.root);
  const inner = { ...props, schema };
  if (kind === "object") return <ObjectField {...inner} />;
  if (kind === "array") return <ArrayField {...inner} />;
  if (kind === "choice") return <ChoiceField {...inner} />;
  if (kind === "json") return <JsonField {...inner} />;
  return <PlainField {...inner} kind={kind} />;
}

const own = (flaws: Flaw[], path = ""): Flaw | undefined => flaws.find((flaw) => flaw.path === path);
const text = (schema: Schema | undefined, name: string): string => (isObject(schema) && typeof schema[name] === "string" ? (schema[name] as string) : "");

function Labelled({ props, children, id }: { props: FieldProps; children: ReactNode; id: string }) {
  const flaw = own(props.flaws, props.path);
  const hint = text(props.schema, "description");
  return (
    <div className="field">
      <label htmlFor={id}>{props.label || text(props.schema, "title") || "Value"}{props.required ? "" : <span className="soft"> (optional)</span>}</label>
      {hint && <span className="hint" id={`${id}-hint`}>{hint}</span>}
      {children}
      {flaw && <span className="flaw" role="alert" id={`${id}-flaw`}>{flaw.message}</span>}
    </div>
  );
}

const described = (props: FieldProps, id: string) => ({
  id,
  "aria-invalid": own(props.flaws, props.path) ? true : undefined,
  "aria-describedby": [own(props.flaws, props.path) ? `${id}-flaw` : "", text(props.schema, "description") ? `${id}-hint` : ""].filter(Boolean).join(" ") || undefined,
});

function PlainField(props: FieldProps & { kind: string }) {
  const id = useId();
  const { kind, value, change } = props;
  const schema = props.schema as Obj;
  const [typed, setTyped] = useState<string | null>(null);
  const common = described(props, id);
  let input: ReactNode;
  if (kind === "const") {
    input = <input {...common} readOnly value={JSON.stringify(schema.const)} />;
  } else if (kind === "enum") {
    const options = schema.enum as Json[];
    const at = options.findIndex((one) => JSON.stringify(one) === JSON.stringify(value));
    input = (
      <select {...common} value={at} onChange={(event) => change(options[Number(event.target.value)])}>
        <option value={-1}>{props.required ? "choose…" : "—"}</option>
        {options.map((one, index) => <option key={index} value={index}>{typeof one === "string" ? one : JSON.stringify(one)}</option>)}
      </select>
    );
  } else if (kind === "boolean") {
    input = (
      <select {...common} value={value === undefined ? "" : String(value)} onChange={(event) => change(event.target.value === "" ? undefined : event.target.value === "true")}>
        <option value="">{props.required ? "choose…" : "—"}</option>
        <option value="true">yes</option>
        <option value="false">no</option>
      </select>
    );
  } else if (kind === "string") {
    const long = typeof schema.maxLength === "number" && schema.maxLength > 200;
    const shown = typeof value === "string" ? value : "";
    const take = (given: string) => change(given === "" && !(props.required && value !== undefined) ? undefined : given);
    input = long ? <textarea {...common} value={shown} onChange={(event) => take(event.target.value)} /> : <input {...common} type={schema.format === "date" ? "date" : "text"} autoComplete="off" value={shown} placeholder={placeholder(schema)} onChange={(event) => take(event.target.value)} />;
  } else {
    const shown = typed ?? (typeof value === "number" ? String(value) : "");
    const take = (given: string) => {
      setTyped(given);
      const number = Number(given);
      change(given.trim() === "" ? undefined : Number.isFinite(number) ? number : given);
    };
    input = <input {...common} inputMode={kind === "integer" ? "numeric" : "decimal"} autoComplete="off" value={shown} placeholder={placeholder(schema)} onChange={(event) => take(event.target.value)} onBlur={() => setTyped(null)} />;
  }
  return <Labelled props={props} id={id}>{input}{nullable(schema) && <NullToggle {...props} />}</Labelled>;
}

function NullToggle({ value, change, label }: FieldProps) {
  return <label className="hint row"><input type="checkbox" aria-label={`${label ?? "value"} is null`} checked={value === null} onChange={(event) => change(event.target.checked ? null : undefined)} /> null</label>;
}

const placeholder = (schema: Obj): string => {
  const examples = schema.examples;
  return Array.isArray(examples) && examples.length ? (typeof examples[0] === "string" ? examples[0] : JSON.stringify(examples[0])) : "";
};

function ObjectField(props: FieldProps) {
  const schema = props.schema as Obj;
  const properties = Object.entries((schema.properties ?? {}) as Obj) as [string, Schema][];
  const needed = new Set((schema.required as string[] | undefined) ?? []);
  const value = isObject(props.value) ? props.value : {};
  const set = (name: string, inner: Json | undefined) => {
    const { [name]: _, ...rest } = value;
    props.change(inner === undefined ? rest : { ...value, [name]: inner });
  };
  const extra = Object.keys(value).filter((name) => !properties.some(([known]) => known === name));
  if (!props.top && !props.required && props.value === undefined) return <Absent {...props} />;
  const fields = (
    <>
      {properties.map(([name, inner]) => (
        <Field key={name} schema={inner} root={props.root} value={value[name]} change={(next) => set(name, next)} flaws={props.flaws} path={`${props.path ?? ""}/${name.replace(/~/g, "~0").replace(/\//g, "~1")}`} label={name} required={needed.has(name)} />
      ))}
      {extra.length > 0 && <p className="soft">Also given: {extra.join(", ")} (see JSON)</p>}
      {!properties.length && <p className="soft">This message has no fields.</p>}
    </>
  );
  if (props.top) return fields;
  return (
    <fieldset>
      <legend>{props.label}{!props.required && <button type="button" className="plain small" onClick={() => props.change(undefined)}>Leave out</button>}</legend>
      {fields}
    </fieldset>
  );
}

function Absent(props: FieldProps) {
  const add = () => props.change(initial(props.schema, props.root, true) ?? (kindOf(props.schema ?? true, props.root) === "array" ? [] : {}));
  return <div><button type="button" className="small" onClick={add}>+ {props.label}</button> <span className="soft">(optional)</span></div>;
}

function ArrayField(props: FieldProps) {
  const schema = props.schema as Obj;
  const items = Array.isArray(props.value) ? props.value : [];
  if (!props.top && !props.required && props.value === undefined) return <Absent {...props} />;
  const flaw = own(props.flaws, props.path);
  const add = () => props.change([...items, initial(schema.items as Schema, props.root, true) ?? null]);
  return (
    <fieldset>
      <legend>{props.label || "Items"} <span className="soft">({items.length})</span>{!props.required && !props.top && <button type="button" className="plain small" onClick={() => props.change(undefined)}>Leave out</button>}</legend>
      {items.map((item, index) => (
        <div className="item" key={index}>
          <div className="grow"><Field schema={schema.items as Schema} root={props.root} value={item ?? undefined} change={(next) => props.change(items.map((old, at) => (at === index ? next ?? null : old)))} flaws={props.flaws} path={`${props.path ?? ""}/${index}`} label={`${props.label || "item"} ${index + 1}`} required /></div>
          <button type="button" className="plain" aria-label={`Remove ${props.label || "item"} ${index + 1}`} onClick={() => props.change(items.filter((_, at) => at !== index))}>✕</button>
        </div>
      ))}
      {flaw && <span className="flaw" role="alert">{flaw.message}</span>}
      <div><button type="button" className="small" onClick={add}>+ Add</button></div>
    </fieldset>
  );
}

function ChoiceField(props: FieldProps) {
  const id = useId();
  const options = choices(props.schema as Obj, props.root) ?? [];
  const [at, setAt] = useState(0);
  const name = (schema: Schema, index: number): string => text(schema, "title") || (isObject(schema) && typeof schema.type === "string" ? schema.type : `choice ${index + 1}`);
  const choose = (next: number) => {
    setAt(next);
    props.change(initial(options[next], props.root, true));
  };
  return (
    <fieldset>
      <legend>{props.label || "Value"}</legend>
      <div className="field">
        <label htmlFor={id}>Kind</label>
        <select id={id} value={at} onChange={(event) => choose(Number(event.target.value))}>{options.map((one, index) => <option key={index} value={index}>{name(one, index)}</option>)}</select>
      </div>
      <Field {...props} key={at} schema={options[at]} label={props.label || "value"} top={false} />
    </fieldset>
  );
}

function JsonField(props: FieldProps) {
  const id = useId();
  const [typed, setTyped] = useState<string | null>(null);
  const shown = typed ?? pretty(props.value);
  const parsed = shown.trim() === "" ? null : parseJson(shown);
  const take = (given: string) => {
    setTyped(given);
    const now = given.trim() === "" ? null : parseJson(given);
    if (now === null) props.change(undefined);
    else if ("value" in now) props.change(now.value);
  };
  return (
    <Labelled props={{ ...props, label: `${props.label || "Value"} (JSON)` }} id={id}>
      <textarea {...described(props, id)} spellCheck={false} value={shown} onChange={(event) => take(event.target.value)} onBlur={() => parsed && "value" in parsed && setTyped(null)} />
      {parsed && "error" in parsed && <span className="flaw" role="alert">{parsed.error}</span>}
    </Labelled>
  );
}
