"""What starts, watches and stops replicas; one contract for all."""
