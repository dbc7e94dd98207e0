"""Alignment and metrics, pure functions of arrays: what training and evaluation share. No protocols, no files."""
