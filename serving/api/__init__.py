"""HTTP: bodies in, problems out."""
