"""The verbs of the station: everything that changes a record or asks another process for something."""
