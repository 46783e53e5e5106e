"""Golden data; README.md says where each file comes from."""
