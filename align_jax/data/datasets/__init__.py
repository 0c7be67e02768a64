"""One TFDS builder a folder."""
