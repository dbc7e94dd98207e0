"""What the stages of evaluation share."""
