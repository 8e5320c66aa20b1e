"""The command line: one file a command; each prints what to do next."""
