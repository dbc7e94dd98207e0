"""Any depth model on any data by a protocol, as the command `evaluate` compares them: no stage depends on it."""
