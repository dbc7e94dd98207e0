"""Great Expectations, statistics of collections, Data Docs."""
