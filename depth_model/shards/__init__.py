"""What a sample is, how it is stored and found again. Knows no data set and no network."""
