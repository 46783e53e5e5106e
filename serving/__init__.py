"""Answers predictions, takes labels, obeys the admin API."""
