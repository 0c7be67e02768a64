"""What a run stands on: devices, files that appear whole, locks, and requests to stop."""
