"""What is done about an alarm, whether it may be, and whether it helped."""
