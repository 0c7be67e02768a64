"""How good predictions and explanations are: scores of examples, metrics of domains, and the checkpoint to report."""
