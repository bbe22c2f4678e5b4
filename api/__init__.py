"""The doors: HTTP and CLI. Each decodes, calls one function, encodes."""
