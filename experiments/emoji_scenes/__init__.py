"""Every method on emoji_scenes with one budget: which runs, their table, and how much of what is possible they gain."""
