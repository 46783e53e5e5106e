"""What people are told, and when it is over."""
