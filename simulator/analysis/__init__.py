"""What a run's rows say: reads records and nothing else."""
