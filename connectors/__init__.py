"""What stands around the pipeline: simulated shoppers, and readers of recorded data."""
