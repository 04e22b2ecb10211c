"""What if: studies of many variants, and finished runs side by side."""
