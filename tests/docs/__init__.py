"""The documentation: every block of code in it is run, every link leads somewhere."""
