"""How good is an explanation? Faithfulness and localisation, batched and jit-compatible."""
