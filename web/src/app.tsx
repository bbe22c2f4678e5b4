// The frame around every page: header, routes, the sign-in, and a word when the server is away. The addresses here are
// those that api/http/web.py serves.
import { useQueryClient } from "@tanstack/react-query";
import { lazy, Suspense, useEffect, useRef, useState } from "react";
import { Link, Redirect, Route, Switch, useLocation } from "wouter";
import { onAnswer } from "./api/client";
import { ExecutionsPage } from "./executions/list";
import { FlowsPage } from "./flows/list";
import { PausesPage } from "./pauses/list";
import { useTheme } from "./state/theme";
import { Boundary } from "./ui/boundary";
import { Loading, Note } from "./ui/parts";
import { SignIn } from "./ui/sign-in";

const ExecutionPage = lazy(() => import("./executions/detail").then((module) => ({ default: module.ExecutionPage })));
const FlowPage = lazy(() => import("./flows/detail").then((module) => ({ default: module.FlowPage })));

const PAGES = [
  ["/flows", "Flows"],
  ["/executions", "Executions"],
  ["/pauses", "Pauses"],
] as const;

export function App() {
  const { away, unauthorized, signedIn } = useServer();
  return (
    <>
      <a className="skip" href="#main">To the page</a>
      <Header />
      {away && <div className="away" role="status">The server does not answer. What you see may be old; the page goes on by itself.</div>}
      <main id="main">
        {unauthorized ? (
          <SignIn done={signedIn} />
        ) : (
          <Boundary what="The page">
            <Suspense fallback={<Loading what="the page" />}>
              <Switch>
                <Route path="/"><Redirect to="/executions" /></Route>
                <Route path="/executions" component={ExecutionsPage} />
                <Route path="/executions/:id">{({ id }) => <ExecutionPage key={id} id={id} />}</Route>
                <Route path="/pauses" component={PausesPage} />
                <Route path="/flows" component={FlowsPage} />
                <Route path="/flows/*">{(params) => <FlowPage key={params["*"]} name={params["*"]} />}</Route>
                <Route><Note title="There is no such page" page><Link href="/executions">To the executions</Link></Note></Route>
              </Switch>
            </Suspense>
          </Boundary>
        )}
      </main>
    </>
  );
}

function Header() {
  const [place] = useLocation();
  const { theme, next } = useTheme();
  return (
    <header className="bar">
      <Link className="brand" href="/executions" aria-label="Axiom"><img src="/assets/axiom.svg" alt="" width="20" height="20" /><span>Axiom</span></Link>
      <nav aria-label="Pages">
        {PAGES.map(([path, name]) => <Link key={path} href={path} aria-current={place === path || place.startsWith(`${path}/`) ? "page" : undefined}>{name}</Link>)}
      </nav>
      <span className="grow" />
      <button className="plain" onClick={next} title="Colours: as the system has them, light, or dark" aria-label={`Colours: ${theme}`}>{theme === "dark" ? "☾" : theme === "light" ? "☀" : "◐"}</button>
    </header>
  );
}

/** In development a page gets a new cookie by asking for itself: whether that was enough. */
async function renewed(): Promise<boolean> {
  try {
    await fetch(location.pathname, { credentials: "same-origin" });
    return (await fetch("/invocations/v1/executions?limit=1", { credentials: "same-origin" })).ok;
  } catch {
    return false;
  }
}

/** Whether the server is there, and whether it wants a key; told by the answers to whatever the pages ask. */
function useServer() {
  const client = useQueryClient();
  const [away, setAway] = useState(false);
  const [unauthorized, setUnauthorized] = useState(false);
  const asking = useRef(false);
  useEffect(() => onAnswer((seen) => {
    setAway(!seen.reached);
    if (seen.unauthorized && !asking.current) {
      asking.current = true;
      void renewed().then((let_in) => {
        if (let_in) void client.invalidateQueries();
        else setUnauthorized(true);
        asking.current = false;
      });
    }
  }), [client]);
  const signedIn = () => {
    setUnauthorized(false);
    void client.invalidateQueries();
  };
  return { away, unauthorized, signedIn };
}
