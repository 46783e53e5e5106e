"""SQL, one file per table; takes and returns records, never commits."""
