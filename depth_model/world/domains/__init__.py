"""The domains: one file for each kind of place, with `build(rng) -> Scene`."""
