"""The commands of `launch/`, one file each: flags in, work done; a user's mistake is answered in one line."""
