"""What the service does when something fails: a matrix in a data file, and the state of each of its rows."""
