"""Long jobs with files: `jobs` the rows and statuses, `runner` who works when, `steps` the work itself."""
