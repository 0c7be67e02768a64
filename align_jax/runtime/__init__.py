"""Devices, files that appear whole, locks, and requests to stop."""
