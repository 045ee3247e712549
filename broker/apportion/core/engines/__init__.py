"""Share engines of other schedulers than Slurm: each a module of plain formulas, allocations, and the level it gives an association."""
