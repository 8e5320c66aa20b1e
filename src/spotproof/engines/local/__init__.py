"""Worker processes on this machine, and the parent that keeps them running."""
