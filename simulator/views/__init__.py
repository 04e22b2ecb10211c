"""What a person sees of a run: live in the terminal, as lines, as a summary, as a picture. Reads record rows only."""
