"""Why a transfer failed."""


class TransferFailed(Exception):
    """The transfer did not succeed; the message is for the event log and holds no password."""


class LocationRefused(TransferFailed):
    """The location is not a URL the station can use or may go to; trying again would not help."""


class ProtocolUnknown(LocationRefused):
    """The location names a protocol the station does not speak."""


class AddressForbidden(LocationRefused):
    """The location leads to the station itself or its service port."""


class LoginRefused(TransferFailed):
    """The server refuses the login, or access to this path."""


class ServerRefused(TransferFailed):
    """The server replied, but not with the file."""


class ConnectionBroken(TransferFailed):
    """No connection, a time-out, or the end of the line in the middle."""


class IdentityRefused(TransferFailed):
    """The server cannot prove who it is: certificate, name or host key."""


class QuotaExceeded(TransferFailed):
    """The file is larger than the station takes."""


class TransferCancelled(Exception):
    """Nobody wants the file any more."""
