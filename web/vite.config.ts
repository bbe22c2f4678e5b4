import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The server sends `default-src 'none'; script-src 'self'`: nothing may be put into the HTML, nothing comes from elsewhere.
export default defineConfig({
  plugins: [react()],
  base: "/",
  publicDir: false,
  build: { target: "es2022", modulePreload: { polyfill: false }, assetsInlineLimit: 0, reportCompressedSize: false },
  server: { proxy: Object.fromEntries(["/invocations", "/registry", "/session", "/console"].map((path) => [path, "http://127.0.0.1:4000"])) },
});
