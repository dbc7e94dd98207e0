"""The labeling engine: disparity of every image of a source. Trains nothing."""
