"""The commands of `launch/`, one file each. A user's mistake is answered in one line."""
