"""SQL of the monitor: takes and returns records, never commits."""
