"""The networks: a ResNet classifier split at its last convolutional map, and the masker."""
