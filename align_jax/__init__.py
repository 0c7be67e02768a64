"""ALIGN in JAX: explanation-guided learning with masks that are learned, not drawn (arXiv 2511.06944)."""
