import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { createRoot } from "react-dom/client";
import { ApiError } from "./api/client";
import { App } from "./app";
import { applyTheme } from "./state/theme";
import "./styles.css";

applyTheme();
const client = new QueryClient({
  defaultOptions: {
    queries: {
      // What is refused stays refused; a server that is away may come back.
      retry: (count, error) => !(error instanceof ApiError && error.status > 0 && error.status < 500) && count < 2,
      staleTime: 1_000,
      networkMode: "always",
    },
    mutations: { networkMode: "always" },
  },
});
createRoot(document.getElementById("app")!).render(
  <QueryClientProvider client={client}>
    <App />
  </QueryClientProvider>,
);
