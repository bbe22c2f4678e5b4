// Light, dark, or as the system has it: a choice of this browser.
import { create } from "zustand";

export type Theme = "system" | "light" | "dark";
const PLACE = "axiom.theme";
const NEXT: Record<Theme, Theme> = { system: "light", light: "dark", dark: "system" };

function kept(): Theme {
  try {
    const found = localStorage.getItem(PLACE);
    return found === "light" || found === "dark" ? found : "system";
  } catch {
    return "system"; // storage is forbidden here
  }
}

function show(theme: Theme): void {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

export const useTheme = create<{ theme: Theme; next: () => void }>((set, get) => ({
  theme: kept(),
  next: () => {
    const theme = NEXT[get().theme];
    show(theme);
    try {
      localStorage.setItem(PLACE, theme);
    } catch {
      // it holds for this page
    }
    set({ theme });
  },
}));

export const applyTheme = (): void => show(kept());
