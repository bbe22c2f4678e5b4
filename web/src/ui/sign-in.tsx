// The key is asked for once; a cookie that no script can read stands for it from then on.
import { useState, type FormEvent } from "react";
import { call } from "../api/client";
import { Problem } from "./parts";

export function SignIn({ done }: { done: () => void }) {
  const [key, setKey] = useState("");
  const [error, setError] = useState<unknown>(null);
  const send = async (event: FormEvent) => {
    event.preventDefault();
    setError(null);
    try {
      await call("/session", { method: "POST", body: { key: key.trim() } });
      done();
    } catch (failed) {
      setError(failed);
    }
  };
  return (
    <form className="card sign-in" onSubmit={(event) => void send(event)}>
      <h1>Sign in</h1>
      <p className="soft">This server wants an API key. Make one with</p>
      <pre>axiom keys create --name pages</pre>
      <div className="field">
        <label htmlFor="key">API key</label>
        <input id="key" type="password" autoComplete="off" required placeholder="axm_…" value={key} onChange={(event) => setKey(event.target.value)} />
      </div>
      {error !== null && <Problem error={error} />}
      <button className="main" disabled={!key.trim()}>Sign in</button>
    </form>
  );
}
