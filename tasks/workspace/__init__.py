"""Where a stage works (`.work`), so that nothing finished is lost."""
