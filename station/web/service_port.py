"""Whether a request comes in at the USB service port, which is inside the station's housing."""

import ipaddress

from django.http import HttpRequest

from station.host.addresses import SERVICE_ADDRESS

SERVICE_NETWORK = ipaddress.ip_network(f"{SERVICE_ADDRESS}/24", strict=False)


def is_from_service_port(request: HttpRequest) -> bool:
    """Return whether both ends of the connection lie in the service port's network.

    The server's end counts as well: the kernel accepts packets for any of its addresses at any interface. The firewall
    drops what pretends to be from there and comes in elsewhere (deploy/station.nft).
    """
    try:
        sender = ipaddress.ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return False
    # Daphne tells the address of the socket here, not the name the browser asked for.
    return sender in SERVICE_NETWORK and request.META.get("SERVER_NAME") == SERVICE_ADDRESS
