"""Who may do what at the web interface."""

from enum import IntEnum


class Role(IntEnum):
    """Each role may do what the ones before it may.

    The person at the station with the sticker's password is an installer; an operator runs the station from day to day;
    a viewer changes nothing. Somebody who is signed in without a role has only their own password.
    """

    STRANGER = 0
    SIGNED_IN = 1
    VIEWER = 2
    OPERATOR = 3
    INSTALLER = 4


# The roles that are given to people, as they are stored.
NAMES = {Role.VIEWER: "viewer", Role.OPERATOR: "operator", Role.INSTALLER: "installer"}
