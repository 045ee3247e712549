"""What a run was like: service, utilization, fairness and starvation, read from run folders and nothing else."""
