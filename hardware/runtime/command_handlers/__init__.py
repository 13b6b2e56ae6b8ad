"""What the control loop does for each command of the one door (`station.services.commands`), one file per subject."""
