"""The measures of ``axiom bench``: one question in each file, answered in figures."""
