"""What a trained run is used for: another evaluation, and explanations of a user's own images."""
