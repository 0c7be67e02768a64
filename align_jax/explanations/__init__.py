"""Metrics of explanations: faithfulness and localisation, batched and jit-compatible."""
