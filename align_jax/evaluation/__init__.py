"""How good predictions and explanations are: scores of every example, metrics of a domain, the checkpoint to report."""
