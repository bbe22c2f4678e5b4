"""Example projects, each for a newcomer to copy; ``axiom demo`` runs them and ``axiom init --example`` copies one."""
