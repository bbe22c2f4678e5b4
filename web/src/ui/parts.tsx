// The small parts that every page is made of.
import { useEffect, useRef, useState, type ReactNode, type KeyboardEvent } from "react";
import { ApiError } from "../api/client";
import type { Status } from "../api/types";
import { exact, relative, STATUS_SIGNS, STATUS_WORDS } from "../state/words";

export function StatusChip({ status }: { status: Status }) {
  return (
    <span className={`chip ${status}`} data-status={status}>
      <span className="sign" aria-hidden="true">{STATUS_SIGNS[status]}</span>
      {STATUS_WORDS[status]}
    </span>
  );
}

/** A moment: how long ago, and exactly when on hover and to screen readers. */
export function Moment({ at, now }: { at: string | null; now: number }) {
  if (at === null) return <span className="soft">–</span>;
  const ms = Date.parse(at);
  return <time dateTime={at} title={exact(ms)}>{relative(ms, now)}</time>;
}

/** A word in an empty place; `page` if there is nothing else on the page. */
export function Note({ title, children, page = false }: { title: string; children?: ReactNode; page?: boolean }) {
  return (
    <div className="note">
      {page ? <h1>{title}</h1> : <h2>{title}</h2>}
      {children}
    </div>
  );
}

export function Loading({ what }: { what: string }) {
  const [late, setLate] = useState(false); // nothing flashes up for what is there at once
  useEffect(() => {
    const timer = setTimeout(() => setLate(true), 250);
    return () => clearTimeout(timer);
  }, []);
  return <div className="note" role="status">{late && `Loading ${what}…`}</div>;
}

export function Problem({ error, retry }: { error: unknown; retry?: () => void }) {
  const known = error instanceof ApiError ? error : null;
  return (
    <div className="problem" role="alert">
      <div>{known ? known.message : error instanceof Error ? error.message : String(error)} {known && <code>{known.code}</code>}</div>
      {known?.errors.map((one, index) => <div key={index}><code>{one.path || "input"}</code> {one.message}</div>)}
      {retry && <div><button className="small" onClick={retry}>Try again</button></div>}
    </div>
  );
}

export function Copy({ text, label = "Copy" }: { text: string | (() => string); label?: string }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(typeof text === "string" ? text : text());
    setDone(true);
    setTimeout(() => setDone(false), 1_200);
  };
  return <button type="button" className="plain small copy" onClick={() => void copy().catch(() => undefined)}>{done ? "Copied" : label}</button>;
}

export interface Tab {
  id: string;
  label: string;
  count?: number | undefined;
}

export function Tabs({ tabs, chosen, choose, label }: { tabs: Tab[]; chosen: string; choose: (id: string) => void; label: string }) {
  const keys = (event: KeyboardEvent) => {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (!step) return;
    event.preventDefault();
    const at = tabs.findIndex((tab) => tab.id === chosen);
    const next = tabs[(at + step + tabs.length) % tabs.length]!;
    choose(next.id);
    document.getElementById(`tab-${next.id}`)?.focus();
  };
  return (
    <div className="tabs" role="tablist" aria-label={label} onKeyDown={keys}>
      {tabs.map((tab) => (
        <button key={tab.id} id={`tab-${tab.id}`} role="tab" type="button" aria-selected={tab.id === chosen} aria-controls="panel" tabIndex={tab.id === chosen ? 0 : -1} onClick={() => choose(tab.id)}>
          {tab.label}
          {tab.count !== undefined && <span className="count">{tab.count}</span>}
        </button>
      ))}
    </div>
  );
}

/** A native dialog: focus stays in it, Escape closes it. */
export function Dialog({ title, close, children, footer, extra }: { title: string; close: () => void; children: ReactNode; footer?: ReactNode; extra?: ReactNode }) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = ref.current!;
    if (!dialog.open) dialog.showModal();
    return () => dialog.close();
  }, []);
  return (
    <dialog ref={ref} aria-labelledby="dialog-title" onCancel={(event) => { event.preventDefault(); close(); }}>
      <header>
        <h2 id="dialog-title" className="grow">{title}</h2>
        {extra}
        <button type="button" className="plain" aria-label="Close" onClick={close}>✕</button>
      </header>
      <div className="body">{children}</div>
      {footer && <footer>{footer}</footer>}
    </dialog>
  );
}
