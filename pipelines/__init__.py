"""What is run: the command line and the jobs behind it. May import all other rooms."""
