"""Are bad masks worse than none? Guidance by masks of falling quality."""
