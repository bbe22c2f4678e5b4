"""CEL: text to tree, tree to checked tree, that to a Python function. ``compiler/expressions.py`` is its face."""
