"""E-values from means: bounded losses, rates without a reference, units made of rows."""
