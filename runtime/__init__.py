"""The runtime: events, state and decisions (pure), and the engine, workers and stores around them."""
