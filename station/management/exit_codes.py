"""What a command of ours ends with, for who calls it from a program (docs/installation.md names them).

0 is done, 1 not done (the computer or the state of the station is in the way), 2 a wrong command line (argparse).
"""

# EX_DATAERR of sysexits(3): what was given is refused, and giving it once more is of no use.
REFUSED = 65
