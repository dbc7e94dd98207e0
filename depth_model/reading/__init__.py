"""From the root of a data set to shards: decoders, archives, pairing, collecting. Data sets are in `readers`."""
