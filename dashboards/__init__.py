"""What people look at: the console, and dashboards and rules made from code."""
