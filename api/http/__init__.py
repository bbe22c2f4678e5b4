"""The HTTP door, one file per group of calls."""
