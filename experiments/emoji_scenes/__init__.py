"""Every method on emoji_scenes with the same budget: the runs, their tables, and how much each method gains."""
