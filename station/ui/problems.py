"""Words for refused configuration values: the sentences of `station.domain.configuration.problems`, translated."""

import re
from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

PROBLEMS: Mapping[str, "str | Promise"] = {
    "unknown_key": _("There is no such key. Similar keys: %(nearest)s"),
    "read_only": _("This key can only be read."),
    "live_value": _("This value is measured by the station and cannot be set."),
    "not_applicable": _("This running program cannot apply the key."),
    "contradiction": _("This contradicts %(other)s in the same change."),
    "boolean": _("Only true and false are allowed."),
    "true_only": _("Only true is allowed (calibration law)."),
    "integer": _("A whole number in digits without a sign is expected."),
    "range": _("The number must be from %(low)s to %(high)s."),
    "range_or": _("The number must be %(also)s, or from %(low)s to %(high)s."),
    "not_one_of": _("The value must be one of: %(allowed)s."),
    "item_not_one_of": _("“%(item)s” is not one of: %(allowed)s."),
    "item_twice": _("“%(item)s” is given twice."),
    "empty_item": _("The list has an empty item."),
    "too_many_items": _("At most %(limit)s items are allowed."),
    "too_long": _("At most %(limit)s characters are allowed."),
    "too_short": _("At least %(limit)s characters are needed."),
    "not_printable": _("Umlauts, accents and other characters beyond ASCII are not allowed."),
    "control_character": _("Control characters are not allowed."),
    "blank": _("Blanks alone are not enough."),
    "empty": _("A value is needed."),
    "page_address": _("An address like https://192.168.1.20 is expected, without anything behind it."),
    "url": _("An address like wss://host:port/path is expected."),
    "url_scheme_ws": _("The address must begin with wss:// or ws://."),
    "url_scheme_http": _("The address must begin with https:// or http://, like https://192.168.1.20."),
    "url_host": _("The address has no host name."),
    "url_port": _("The port must be from 1 to 65535."),
    "url_credentials": _("The address must not contain a user name or password."),
    "url_query": _("A query needs ${chargeBoxIdentity} in the address, to say where the chargebox ID belongs."),
    "url_fragment": _("The address must not contain #."),
    "placeholder": _("Only the placeholder ${%(allowed)s} is known."),
    "host_port": _("host:port is expected."),
    "network": _("“%(item)s” is neither an IP address like 192.168.1.20 nor a network like 192.168.1.0/24."),
    "apn": _("An APN may contain letters, digits, dots and hyphens only."),
    "needs_apn": _("A provider of your own needs its APN: enter it, or choose another provider."),
    "pin": _("A PIN has 4 to 8 digits."),
    "json": _("This is not valid JSON."),
    "json_object": _("A JSON object is expected."),
    "json_member": _("The member “%(member)s” has no usable value."),
    "date": _("A date like 2025-08 is expected."),
    "serial": _("A serial number has up to 25 letters and digits, with hyphens in between, like 100012345."),
    "evse_id": _("An EVSE ID like DE*ABC*E12345 is expected."),
    "phone": _("A phone number may contain digits, blanks and + ( ) / - . only."),
    "card_pattern": _("A pattern like {uid}, {uid:r} or {uid:1-4} is expected, with up to 18 fixed characters."),
    "phase_rotation": _("“%(item)s” is not like 1.RST; allowed rotations: %(allowed)s."),
    "no_such_connector": _("“%(item)s” names a charging point that this station does not have."),
    "measurand": _("The station does not measure “%(item)s”."),
    "time_zone": _("This time zone is not known."),
    "security_profile_upwards": _("The backend can only raise the security profile above %(present)s."),
    "needs_authorization_key": _("Security profile %(profile)s needs an authorization key first."),
    "needs_giro_e_token": _("giro-e needs its token first (GiroEStaticToken)."),
    "needs_backend_ca": _("Security profile %(profile)s needs a CA certificate of the backend first."),
    "needs_own_certificate": _("Security profile %(profile)s needs a certificate of the station first."),
    "printed_example": _("It is the example that everybody can read. Use a random password of its kind."),
    "few_characters": _("At least %(limit)s different characters are needed. Use a random password."),
    "common_password": _("It is one of the passwords that are tried first. Use a random password."),
    "blank_at_end": _("It must not begin or end with a blank, which nobody sees on a sticker."),
    "not_typed": _("It holds a character that keyboards do not have. Use letters and digits."),
    "holds_serial": _("The serial number must not stand in it: many know that. Use a random password."),
    "above_ceiling": _("The backend can only go below what was set at the station (%(limit)s mA)."),
    "simulated_only": _("Only allowed on simulated hardware."),
    "above_maximum_delay": _("The first delay must not be longer than the longest one (%(limit)s s)."),
    "file_missing": _("The file %(path)s cannot be read."),
    "no_certificate": _("The file contains no PEM certificate."),
    "private_key_given": _(
        "The file holds a private key, which belongs to the server alone: delete this copy, and ask the operator for "
        "the CA certificate (BEGIN CERTIFICATE)."
    ),
    "no_authority": _(
        "%(name)s is the certificate of a server, not of a CA. Ask the operator for the certificate of the CA that "
        "has issued it."
    ),
    "too_many_certificates": _(
        "The station keeps %(limit)s CA certificates at most. Remove one that is no longer needed."
    ),
    "broken_certificate": _("A certificate in the file is damaged."),
    "link_not_proven": _(
        "The backend may set it only over an encrypted connection whose certificate and name were checked. In a "
        "closed network a person at the station can allow it (/ocpp/trustPlainLink)."
    ),
    "url_not_encrypted": _("The backend may move the station only to an encrypted address (wss://)."),
    "url_internal": _("The backend may not move the station to an address of the station itself."),
    "cluster_needs_code": _("A slave needs the pairing code that the master's page shows."),
    "cluster_needs_limit": _("A master needs the cluster limit in A."),
    "cluster_needs_server": _(
        "A master needs redis-server or valkey-server of version 7 or newer on this computer; install it, or choose "
        "another station as the master."
    ),
    "cluster_second_master": _("%(name)s is the master of this cluster already, and there is exactly one."),
    "cluster_fallbacks": _(
        "While the links are lost, all %(points)s charging points together may draw %(sum)s A, more than the cluster "
        "limit of %(limit)s A. Lower the fallback (0: pause), or raise the limit."
    ),
    "no_dimming_input": _(
        "No input is assigned to the control box. Wire its contact to the input module, add "
        '{"input": 7, "signal": "dimming"} with the number of that input to io.inputs in hardware.json, and restart '
        "the daemon."
    ),
    "below_one_car": _("One car needs at least %(least)s W."),
    "activation_code": _("This is not a valid activation code for this station."),
    "key_file": _("The value cannot be stored, because the key file for secrets cannot be used: %(reason)s."),
    "password_policy": _("The password is refused: %(reasons)s"),
}


def say(code: str, data: Mapping[str, str | int]) -> str:
    """Return in the reader's language why a value is refused."""
    return str(PROBLEMS[code]) % data


def outline(code: str) -> str:
    """Return the sentence for a code where its data were not kept; empty when there is none."""
    return re.sub(r"%\(\w+\)s", "…", str(PROBLEMS.get(code, "")))
