"""What if: studies of many variants, finished runs retimed without training again, and runs side by side."""
