// A value as a tree. Branches are made when they are opened, so a large one costs what is looked at; text stays text.
import { useState } from "react";
import type { Json } from "../api/types";
import { brief, pathText, pretty, type Path } from "../state/json";
import { isObject } from "../state/schema";
import { Copy } from "./parts";

const SHOWN = 100;
const TEXT_SHOWN = 2_000;

export function JsonTree({ value, name = "value" }: { value: Json; name?: string }) {
  return (
    <div className="tree" role="group" aria-label={name}>
      <div className="row"><Copy text={() => pretty(value)} label="Copy JSON" /></div>
      <ul><Branch value={value} path={[]} open /></ul>
    </div>
  );
}

function Branch({ value, path, open = false }: { value: Json; path: Path; open?: boolean }) {
  const [opened, setOpened] = useState(open);
  const [most, setMost] = useState(SHOWN);
  const children: [string | number, Json][] = Array.isArray(value) ? value.map((item, index) => [index, item]) : isObject(value) ? Object.entries(value) : [];
  const name = path.at(-1);
  const label = name === undefined ? null : <><span className="name">{name}</span>: </>;
  if (!children.length) {
    return <li><span className="twist" aria-hidden="true" />{label}<Leaf value={value} />{path.length > 0 && <Copy text={pathText(path)} label="path" />}</li>;
  }
  return (
    <li>
      <button type="button" className="twist" aria-expanded={opened} aria-label={`${opened ? "Close" : "Open"} ${pathText(path)}`} onClick={() => setOpened(!opened)}>{opened ? "▾" : "▸"}</button>
      {label}<span className="soft">{brief(value)}</span>{path.length > 0 && <Copy text={() => pretty(value)} label="copy" />}
      {opened && (
        <ul>
          {children.slice(0, most).map(([key, child]) => <Branch key={key} value={child} path={[...path, key]} open={path.length < 1 && children.length < 20} />)}
          {children.length > most && <li><button type="button" className="plain small" onClick={() => setMost(most + 10 * SHOWN)}>{children.length - most} more</button></li>}
        </ul>
      )}
    </li>
  );
}

function Leaf({ value }: { value: Json }) {
  const [whole, setWhole] = useState(false);
  const text = typeof value === "string" ? JSON.stringify(value) : Array.isArray(value) ? "[]" : isObject(value) ? "{}" : String(value);
  const kind = value === null ? "null" : typeof value;
  if (text.length <= TEXT_SHOWN || whole) return <span className={kind}>{text}</span>;
  return <span className={kind}>{text.slice(0, TEXT_SHOWN)}<button type="button" className="plain small" onClick={() => setWhole(true)}>{text.length - TEXT_SHOWN} more characters</button></span>;
}
