"""What other forms of L_egl do, with true masks: the terms, the runs and their table."""
