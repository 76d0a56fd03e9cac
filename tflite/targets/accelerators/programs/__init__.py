"""Programs that `processes.run` runs by path; each imports only what its own environment has."""
