"""One module per process: each has `main(plan) -> exit code`."""
