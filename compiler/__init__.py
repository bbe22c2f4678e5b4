"""The compiler: YAML in, immutable content-addressed artifacts out. Imports nothing of the other rooms.

``compile.py`` is the way through it; ``model.py`` and ``artifact.py`` are the two ends; ``codes.py`` lists what it may
say.
"""
