"""What a person sees of a run: reads records and nothing else."""
