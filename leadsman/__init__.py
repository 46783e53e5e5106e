"""The command line and the one-machine set-up."""
