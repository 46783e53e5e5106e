"""What is watched: settings, files of them, what fits together, budgets, references."""
