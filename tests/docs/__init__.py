"""The documentation: every code block is run, and every link has a target."""
