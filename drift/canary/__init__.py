"""E-values from the difference of two versions: on the same rows, or on randomly split ones."""
