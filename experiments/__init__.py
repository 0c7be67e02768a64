"""Studies made with the library. They are not part of it."""
