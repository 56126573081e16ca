"""What `make test` runs: stages of steps, each with a time limit, counted into one line."""
