"""Rules that need more than the value itself: other keys, the station, the origin of the change."""

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence

from station.domain import dimming
from station.domain.commands import Origin
from station.domain.configuration.backend import host_of, leads_inside, resulting_identity
from station.domain.configuration.keys import Check, ClusterFacts, Context, OtherStation, RegistryFacts
from station.domain.configuration.problems import InvalidValue
from station.domain.configuration.values import MAX_PORT, items_of

# Manual 1.6 "Power": 32 A with one charging point, 63 A with two (22 kW each); the supply terminals carry no more.
MAINS_MAXIMUM_MA = 63_000
MAINS_MINIMUM_MA = 6_000
_MA_PER_A = 1_000
_TELLING_LENGTH = 4
_FEWEST_DIFFERENT = 5
_LAST_OF_LATIN_1 = "\xff"
# What earlier versions showed to everybody who had made a mistake.
EXAMPLE_PASSWORD = "K7WQ2MZ9PXAB"  # noqa: S105
_TLS_PROFILE, _CLIENT_CERTIFICATE_PROFILE = 2, 3
BACKEND_URL = "/ocpp/url"
MAINS = "/power/station/mainsMaxCurrent"
MAINS_CEILING = "/power/station/mainsCeiling"
MAINS_BACKEND = "/power/station/mainsBackendLimit"
CLUSTER_ENABLED, CLUSTER_ROLE, CLUSTER_LIMIT = "/cluster/enabled", "/cluster/role", "/cluster/limitA"
CLUSTER_KEY, CLUSTER_FALLBACK = "/cluster/key", "/cluster/fallbackA"
TRUST_PLAIN_LINK = "/ocpp/trustPlainLink"
PHASE_ROTATION = "ConnectorPhaseRotation"
DIMMING_ENABLED = "/dimming/enabled"
DIMMING_POWER = "/dimming/powerW"
DIMMING_ACTIVE_WHEN = "/dimming/activeWhen"
DIMMING_WHEN_SILENT = "/dimming/whenSilent"


# The page, which takes it from installers only, and the command line of the computer.
_INSTALLERS = frozenset({Origin.WEB, Origin.LOCAL})


def mains_maximum_ma(facts: RegistryFacts) -> int:
    """Return the most that a station of this size and rating may draw from the grid."""
    return min(MAINS_MAXIMUM_MA, facts.connectors * facts.rated_current_a * _MA_PER_A)


def mains_current(value: str, context: Context) -> None:
    """Refuse more than a station of this size and rating may draw, and to the backend more than the installer set."""
    high = mains_maximum_ma(context.facts)
    if int(value) > high:
        raise InvalidValue("range", low=MAINS_MINIMUM_MA, high=high)
    ceiling = int(context.present[MAINS_CEILING])
    if context.origin not in _INSTALLERS and int(value) > ceiling:
        raise InvalidValue("above_ceiling", limit=ceiling)


def store_mains_current(value: str, origin: Origin, present: Mapping[str, str]) -> Mapping[str, str]:
    """Return what a new mains limit sets: the installer's is the ceiling, the backend's stands beside it."""
    if origin not in _INSTALLERS:
        return {MAINS_BACKEND: value}
    return {MAINS: value} | ({MAINS_BACKEND: ""} if present[MAINS_BACKEND] else {})


def store_mains_ceiling(value: str, _origin: Origin, present: Mapping[str, str]) -> Mapping[str, str]:
    """Return what a new ceiling sets: a higher value of the backend goes down with it, and does not come back up."""
    backend = present[MAINS_BACKEND]
    return {MAINS: value} | ({MAINS_BACKEND: value} if backend and int(backend) > int(value) else {})


def list_length(limit_key: str) -> Check:
    """Return a check that a list has no more items than its …MaxLength key says."""

    def check(value: str, context: Context) -> None:
        limit = int(context.proposed[limit_key])
        if len(items_of(value)) > limit:
            raise InvalidValue("too_many_items", limit=limit)

    return check


def phase_rotation(value: str, context: Context) -> None:
    """Refuse charging points that are not there, and too many items."""
    list_length("ConnectorPhaseRotationMaxLength")(value, context)
    for item in items_of(value):
        if int(item.partition(".")[0]) > context.facts.connectors:
            raise InvalidValue("no_such_connector", item=item)


def charge_box_identity(value: str, context: Context) -> None:
    """Refuse a template whose result would be empty or too long, or would lead the backend's call elsewhere."""
    identity = resulting_identity(value, context.proposed["/identity/serial"])
    url = context.present[BACKEND_URL]
    if host_of(url, identity) != host_of(url, context.present["/ocpp/chargeBoxIdentity"]):
        proven_link(value, context)


def serial(value: str, context: Context) -> None:
    """Refuse a serial number with which the chargebox ID would become too long."""
    if value:
        resulting_identity(context.proposed["/ocpp/chargeBoxIdentity"], "")


def factory_password(value: str, context: Context) -> None:
    """Refuse a password of the sticker that somebody else knows or guesses."""
    if value:
        refuse_weak_password(value, context.proposed["/identity/serial"], context.queries.is_common_password)


def refuse_weak_password(password: str, serial_number: str, is_common: Callable[[str], bool]) -> None:
    """Refuse a password of the sticker that somebody else knows, guesses first, or cannot type.

    The serial number in it counts because backend, host names and radio know that, too. `is_common` knows the passwords
    that are tried first anywhere.
    """
    compact = _compact(password)
    # Fewer characters stand in a random password by chance.
    if len(serial_number) >= _TELLING_LENGTH and _compact(serial_number) in compact:
        raise InvalidValue("holds_serial")
    if compact == _compact(EXAMPLE_PASSWORD):
        raise InvalidValue("printed_example")
    if not all(map(_is_on_keyboards, password)):
        raise InvalidValue("not_typed")
    if password != password.strip():
        raise InvalidValue("blank_at_end")
    if len(set(password.casefold())) < _FEWEST_DIFFERENT:
        raise InvalidValue("few_characters", limit=_FEWEST_DIFFERENT)
    if is_common(password):
        raise InvalidValue("common_password")


def _compact(text: str) -> str:
    return text.casefold().replace("-", "")


def _is_on_keyboards(character: str) -> bool:
    """Return whether some keyboard has it: no emoji, no ornament, no accent without its letter."""
    category = unicodedata.category(character)
    return category[0] in "LNP" or category in {"Sc", "Sm"} or character <= _LAST_OF_LATIN_1


def modbus_port(value: str, context: Context) -> None:
    """Refuse a first port after which the other charging points would have none."""
    high = MAX_PORT + 1 - context.facts.connectors
    if int(value) > high:
        raise InvalidValue("range", low=1, high=high)


def first_delay(value: str, context: Context) -> None:
    """Refuse a first reconnect delay above the longest one."""
    if int(value) > int(context.proposed["/ocpp/reconnectMaxS"]):
        raise InvalidValue("above_maximum_delay", limit=context.proposed["/ocpp/reconnectMaxS"])


def longest_delay(value: str, context: Context) -> None:
    """Refuse a longest reconnect delay below the first one."""
    if int(context.proposed["/ocpp/reconnectMinS"]) > int(value):
        raise InvalidValue("above_maximum_delay", limit=value)


def security_profile(value: str, context: Context) -> None:
    """Let the backend only raise the profile, and only when its prerequisites are there (whitepaper A05)."""
    if context.origin is not Origin.BACKEND:
        return
    present, wanted = int(context.present["SecurityProfile"]), int(value)
    if wanted <= present:
        raise InvalidValue("security_profile_upwards", present=present)
    if wanted in {1, 2} and not context.proposed["AuthorizationKey"]:
        raise InvalidValue("needs_authorization_key", profile=wanted)
    if wanted in {2, 3} and not context.queries.has_backend_ca():
        raise InvalidValue("needs_backend_ca", profile=wanted)
    if wanted == _CLIENT_CERTIFICATE_PROFILE and not context.queries.has_own_certificate():
        raise InvalidValue("needs_own_certificate", profile=wanted)


def pre_authorize(value: str, context: Context) -> None:
    """Refuse to ask for approvals without the token that is shown with them."""
    if value and not context.proposed["GiroEStaticToken"]:
        raise InvalidValue("needs_giro_e_token")


def proven_link(value: str, context: Context) -> None:
    """Let the backend take over the station only over a link on which it has proved itself.

    The number of the security profile proves nothing: it says how the station shows who it is, not who is listening.
    """
    if context.origin is not Origin.BACKEND or context.link.is_proven:
        return
    if context.present[TRUST_PLAIN_LINK] != "true":
        raise InvalidValue("link_not_proven")


def vendor_access(value: str, context: Context) -> None:
    """Let the backend close the vendor's access at any time, and open it only over a proven link."""
    if value == "true":
        proven_link(value, context)


def backend_url(value: str, context: Context) -> None:
    """Let the backend move the station only over a proven link, and only to where it stays as safe as it is."""
    if context.origin is not Origin.BACKEND or value == context.present[BACKEND_URL]:
        return
    if not value:
        # The station could not come back from there.
        raise InvalidValue("empty")
    proven_link(value, context)
    uses_tls = value.lower().startswith("wss:") or int(context.proposed["SecurityProfile"]) >= _TLS_PROFILE
    if not uses_tls and context.present[TRUST_PLAIN_LINK] != "true":
        raise InvalidValue("url_not_encrypted")
    if not context.link.internal and leads_inside(host_of(value, "identity")):
        raise InvalidValue("url_internal")


def authorization_key(value: str, context: Context) -> None:
    """Never let the backend take the key away: the station could not come back to it."""
    if not value and context.origin is Origin.BACKEND:
        raise InvalidValue("empty")


def cluster(_value: str, context: Context) -> None:
    """Refuse a cluster that cannot work, or whose charging points could exceed its limit while the links are lost."""
    if context.proposed[CLUSTER_ENABLED] != "true":
        return
    known = context.queries.cluster()
    if context.proposed[CLUSTER_ROLE] == "master":
        _can_lead(known, context)
        _fits_without_links(int(context.proposed[CLUSTER_LIMIT]), known.members, context)
        return
    if not context.proposed[CLUSTER_KEY]:
        raise InvalidValue("cluster_needs_code", about=CLUSTER_KEY)
    if known.neighbours_limit_a is not None:
        _fits_without_links(known.neighbours_limit_a, known.neighbours, context)


def _can_lead(known: ClusterFacts, context: Context) -> None:
    present = context.present
    leads_already = present[CLUSTER_ENABLED] == "true" and present[CLUSTER_ROLE] == "master"
    if not leads_already and not known.has_server:
        raise InvalidValue("cluster_needs_server", about=CLUSTER_ROLE)
    if not leads_already and known.other_master:
        raise InvalidValue("cluster_second_master", about=CLUSTER_ROLE, name=known.other_master)
    if not context.proposed[CLUSTER_LIMIT]:
        raise InvalidValue("cluster_needs_limit", about=CLUSTER_LIMIT)


def _fits_without_links(limit_a: int, others: Sequence[OtherStation], context: Context) -> None:
    total_ma = fallback_sum_ma(context.proposed, context.facts, others)
    if total_ma > limit_a * _MA_PER_A:
        # Whoever lowers the limit reads it beside the limit; the fallback was not touched.
        is_lowered = context.proposed[CLUSTER_LIMIT] != context.present[CLUSTER_LIMIT]
        is_fallback_kept = context.proposed[CLUSTER_FALLBACK] == context.present[CLUSTER_FALLBACK]
        raise InvalidValue(
            "cluster_fallbacks",
            about=CLUSTER_LIMIT if is_lowered and is_fallback_kept else CLUSTER_FALLBACK,
            points=context.facts.connectors + sum(station.points for station in others),
            sum=f"{total_ma / _MA_PER_A:g}",
            limit=limit_a,
        )


def fallback_sum_ma(values: Mapping[str, str], facts: RegistryFacts, others: Iterable[OtherStation]) -> int:
    """Return what all charging points of a cluster may draw per phase while its links are lost."""
    own_a = min(int(values[CLUSTER_FALLBACK]), facts.rated_current_a)
    own_ma = facts.connectors * own_a * _MA_PER_A
    return own_ma + sum(station.points * station.fallback_ma for station in others)


def dimming_enabled(value: str, context: Context) -> None:
    """Refuse to obey a control box that no input is assigned to."""
    if value == "true" and not context.queries.has_dimming_input():
        raise InvalidValue("no_dimming_input")


def dimming_power(value: str, context: Context) -> None:
    """Refuse less than one car needs."""
    connectors = context.facts.connectors
    phases = dimming.phases_of(
        context.proposed[PHASE_ROTATION], context.queries.connected_phases(connectors), connectors
    )
    least = dimming.least_power(phases)
    if int(value) < least:
        raise InvalidValue("below_one_car", least=least)


def time_zone(value: str, context: Context) -> None:
    """Refuse a name that is not in the time zone database."""
    if not context.queries.knows_time_zone(value):
        raise InvalidValue("time_zone")


def signature_required(value: str, context: Context) -> None:
    """Refuse to switch the signature check off on real hardware."""
    if value == "false" and not context.queries.may_be_simulated():
        raise InvalidValue("simulated_only")


def read_mains_current(values: Mapping[str, str]) -> str:
    """Return the limit in force: what the backend has lowered the installer's ceiling to."""
    ceiling = int(read_mains_ceiling(values))
    return str(min(ceiling, int(values[MAINS_BACKEND] or ceiling)))


def read_mains_ceiling(values: Mapping[str, str]) -> str:
    """Return the ceiling: a station that lost a charging point also loses that point's share."""
    return str(min(int(values[MAINS]), mains_maximum_ma(RegistryFacts.of(values))))


def read_charge_box_identity(values: Mapping[str, str]) -> str:
    """Return the resulting chargebox ID, cut nowhere: what is stored was checked."""
    return values["/ocpp/chargeBoxIdentity"].replace("${serial}", values["/identity/serial"])


def read_identification(values: Mapping[str, str]) -> str:
    """Return the web page's identification mode from the two keys that it stands for."""
    if values["/hw/auth/device/Dummy/enabled"] == "true":
        return "none"
    return "any" if values["AllowOfflineTxForUnknownId"] == "true" else "whitelisted"


def write_identification(mode: str) -> Mapping[str, str]:
    """Return the keys that an identification mode sets."""
    if mode == "none":
        return {"/hw/auth/device/Dummy/enabled": "true"}
    offline_unknown = "true" if mode == "any" else "false"
    return {"/hw/auth/device/Dummy/enabled": "false", "AllowOfflineTxForUnknownId": offline_unknown}
