"""Statistics: arrays in, decisions out. No input or output, no clock, no global randomness."""
