"""What a training will cost before it starts: time, storage, traffic."""
