// A list of any length with few rows in the page: those on the screen, and some on either side of it.
import { useEffect, useLayoutEffect, useRef, useState, type CSSProperties, type ReactNode } from "react";

const SPARE = 12;

export interface Window {
  from: number;
  to: number;
}

interface Props {
  count: number;
  height: number;
  label: string;
  row: (index: number, style: CSSProperties) => ReactNode;
  /** Told when what is on the screen changes. */
  seen?: (window: Window, atTop: boolean) => void;
  /** Scroll so that this row can be seen. */
  show?: number | undefined;
  role?: string;
}

export function Virtual({ count, height, label, row, seen, show, role = "rowgroup" }: Props) {
  const ref = useRef<HTMLDivElement>(null);
  const [window, setWindow] = useState<Window>({ from: 0, to: 40 });
  const told = useRef(seen);
  told.current = seen;

  const look = () => {
    const box = ref.current;
    if (!box) return;
    const from = Math.max(0, Math.floor(box.scrollTop / height) - SPARE);
    const to = Math.min(count, Math.ceil((box.scrollTop + box.clientHeight) / height) + SPARE);
    setWindow((old) => (old.from === from && old.to === to ? old : { from, to }));
    told.current?.({ from, to }, box.scrollTop < height);
  };

  useLayoutEffect(look, [count, height]);
  useEffect(() => {
    const watcher = new ResizeObserver(look);
    watcher.observe(ref.current!);
    return () => watcher.disconnect();
  }, [count, height]);
  useEffect(() => {
    const box = ref.current;
    if (!box || show === undefined || show < 0) return;
    if (show * height < box.scrollTop) box.scrollTop = show * height;
    else if ((show + 1) * height > box.scrollTop + box.clientHeight) box.scrollTop = (show + 1) * height - box.clientHeight;
  }, [show, height]);

  const rows: ReactNode[] = [];
  for (let index = window.from; index < Math.min(window.to, count); index++) rows.push(row(index, { top: index * height }));
  return (
    <div className="scroll" ref={ref} onScroll={look} role={role} aria-label={label} tabIndex={0}>
      <div style={{ height: count * height }} role="presentation" />
      {rows}
    </div>
  );
}
