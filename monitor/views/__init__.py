"""What people look at: fleets, series, distributions, figures, ledgers."""
