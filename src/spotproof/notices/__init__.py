"""Who says that this machine is about to go."""
