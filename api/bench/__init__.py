"""``axiom bench``: what the engine does, as a share of what the machine could do without it."""
