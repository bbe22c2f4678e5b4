"""The pages: assets only."""
