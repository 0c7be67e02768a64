"""Sweeps: {methods} x {domains} x {seeds} x {overrides}, one run a cell."""
