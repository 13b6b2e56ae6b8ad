"""Why a value is refused: a code with its data, and an English template per code (other languages: station.ui)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

# Plain gettext sources: `station.ui.words` marks and translates them, the command line prints them as they are.
TEMPLATES: Mapping[str, str] = {
    "unknown_key": "There is no such key. Similar keys: %(nearest)s",
    "read_only": "This key can only be read.",
    "live_value": "This value is measured by the station and cannot be set.",
    "not_applicable": "This running program cannot apply the key.",
    "contradiction": "This contradicts %(other)s in the same change.",
    "boolean": "Only true and false are allowed.",
    "true_only": "Only true is allowed (calibration law).",
    "integer": "A whole number in digits without a sign is expected.",
    "range": "The number must be from %(low)s to %(high)s.",
    "range_or": "The number must be %(also)s, or from %(low)s to %(high)s.",
    "not_one_of": "The value must be one of: %(allowed)s.",
    "item_not_one_of": "“%(item)s” is not one of: %(allowed)s.",
    "item_twice": "“%(item)s” is given twice.",
    "empty_item": "The list has an empty item.",
    "too_many_items": "At most %(limit)s items are allowed.",
    "too_long": "At most %(limit)s characters are allowed.",
    "too_short": "At least %(limit)s characters are needed.",
    "not_printable": "Umlauts, accents and other characters beyond ASCII are not allowed.",
    "control_character": "Control characters are not allowed.",
    "blank": "Blanks alone are not enough.",
    "empty": "A value is needed.",
    "url": "An address like wss://host:port/path is expected.",
    "page_address": "An address like https://192.168.1.20 is expected, without anything behind it.",
    "url_scheme_ws": "The address must begin with wss:// or ws://.",
    "url_scheme_http": "The address must begin with https:// or http://, like https://192.168.1.20.",
    "url_host": "The address has no host name.",
    "url_port": "The port must be from 1 to 65535.",
    "url_credentials": "The address must not contain a user name or password.",
    "url_query": "A query needs ${chargeBoxIdentity} in the address, to say where the chargebox ID belongs.",
    "url_fragment": "The address must not contain #.",
    "placeholder": "Only the placeholder ${%(allowed)s} is known.",
    "host_port": "host:port is expected.",
    "network": "“%(item)s” is neither an IP address like 192.168.1.20 nor a network like 192.168.1.0/24.",
    "apn": "An APN may contain letters, digits, dots and hyphens only.",
    "needs_apn": "A provider of your own needs its APN: enter it, or choose another provider.",
    "pin": "A PIN has 4 to 8 digits.",
    "json": "This is not valid JSON.",
    "json_object": "A JSON object is expected.",
    "json_member": "The member “%(member)s” has no usable value.",
    "date": "A date like 2025-08 is expected.",
    "serial": "A serial number has up to 25 letters and digits, with hyphens in between, like 100012345.",
    "evse_id": "An EVSE ID like DE*ABC*E12345 is expected.",
    "phone": "A phone number may contain digits, blanks and + ( ) / - . only.",
    "card_pattern": "A pattern like {uid}, {uid:r} or {uid:1-4} is expected, with up to 18 fixed characters.",
    "phase_rotation": "“%(item)s” is not like 1.RST; allowed rotations: %(allowed)s.",
    "no_such_connector": "“%(item)s” names a charging point that this station does not have.",
    "measurand": "The station does not measure “%(item)s”.",
    "time_zone": "This time zone is not known.",
    "security_profile_upwards": "The backend can only raise the security profile above %(present)s.",
    "needs_authorization_key": "Security profile %(profile)s needs an authorization key first.",
    "needs_giro_e_token": "giro-e needs its token first (GiroEStaticToken).",
    "needs_backend_ca": "Security profile %(profile)s needs a CA certificate of the backend first.",
    "needs_own_certificate": "Security profile %(profile)s needs a certificate of the station first.",
    "printed_example": "It is the example that everybody can read. Use a random password of its kind.",
    "few_characters": "At least %(limit)s different characters are needed. Use a random password.",
    "common_password": "It is one of the passwords that are tried first. Use a random password.",
    "blank_at_end": "It must not begin or end with a blank, which nobody sees on a sticker.",
    "not_typed": "It holds a character that keyboards do not have. Use letters and digits.",
    "holds_serial": "The serial number must not stand in it: many know that. Use a random password.",
    "above_ceiling": "The backend can only go below what was set at the station (%(limit)s mA).",
    "simulated_only": "Only allowed on simulated hardware.",
    "above_maximum_delay": "The first delay must not be longer than the longest one (%(limit)s s).",
    "file_missing": "The file %(path)s cannot be read.",
    "no_certificate": "The file contains no PEM certificate.",
    "private_key_given": (
        "The file holds a private key, which belongs to the server alone: delete this copy, and ask the operator "
        "for the CA certificate (BEGIN CERTIFICATE)."
    ),
    "no_authority": "%(name)s is the certificate of a server, not of a CA. Ask the operator for the certificate of the "
    "CA that has issued it.",
    "too_many_certificates": "The station keeps %(limit)s CA certificates at most. Remove one that is no longer "
    "needed.",
    "broken_certificate": "A certificate in the file is damaged.",
    "link_not_proven": "The backend may set it only over an encrypted connection whose certificate and name were "
    "checked. In a closed network a person at the station can allow it (/ocpp/trustPlainLink).",
    "url_not_encrypted": "The backend may move the station only to an encrypted address (wss://).",
    "url_internal": "The backend may not move the station to an address of the station itself.",
    "cluster_needs_code": "A slave needs the pairing code that the master's page shows.",
    "cluster_needs_limit": "A master needs the cluster limit in A.",
    "cluster_needs_server": "A master needs redis-server or valkey-server of version 7 or newer on this computer; "
    "install it, or choose another station as the master.",
    "cluster_second_master": "%(name)s is the master of this cluster already, and there is exactly one.",
    "cluster_fallbacks": "While the links are lost, all %(points)s charging points together may draw %(sum)s A, more "
    "than the cluster limit of %(limit)s A. Lower the fallback (0: pause), or raise the limit.",
    "no_dimming_input": "No input is assigned to the control box. Wire its contact to the input module, add "
    '{"input": 7, "signal": "dimming"} with the number of that input to io.inputs in hardware.json, and restart the '
    "daemon.",
    "below_one_car": "One car needs at least %(least)s W.",
    "activation_code": "This is not a valid activation code for this station.",
    "key_file": "The value cannot be stored, because the key file for secrets cannot be used: %(reason)s.",
    "password_policy": "The password is refused: %(reasons)s",
}


class InvalidValue(Exception):
    """A value that a key does not take; the code is one of `TEMPLATES`. Never carries a secret.

    `about`: the key to be mended, where that is another one than the key that was set.
    """

    def __init__(self, code: str, *, about: str = "", **data: str | int) -> None:
        super().__init__(code, data)
        self.code = code
        self.about = about
        self.data: Mapping[str, str | int] = data


class UnknownKey(Exception):
    """No row of the registry has this name; `nearest` are names that look alike."""

    def __init__(self, name: str, nearest: tuple[str, ...]) -> None:
        super().__init__(name, nearest)
        self.name = name
        self.nearest = nearest


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One reason why a change was refused."""

    key: str
    code: str
    data: Mapping[str, str | int] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.key}: {TEMPLATES[self.code] % self.data}"


class ConfigurationRefused(Exception):
    """Nothing of a change was stored; `problems` says why, one entry per reason."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems
