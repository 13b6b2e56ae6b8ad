"""Keys of the mobile connection: what a person at the station enters of the SIM card."""

from functools import partial

from station.domain.configuration import row_kinds, values
from station.domain.configuration.keys import Access, ConfigurationKey, Context, Source
from station.domain.configuration.problems import InvalidValue
from station.domain.mobile_providers import PROVIDERS

PROVIDER, SERVICE_MODE, APN, PIN = "/mobile/provider", "/mobile/serviceMode", "/mobile/apn", "/mobile/pin"
AUTHENTICATION, USER, PASSWORD = "/mobile/authentication", "/mobile/user", "/mobile/password"
AUTOMATIC, CUSTOM = "automatic", "custom"
SERVICE_MODES = (AUTOMATIC, "4g", "3g", "2g")
AUTHENTICATIONS = ("chap", "pap", "chap_or_pap", "none")


def _needs_apn(_value: str, context: Context) -> None:
    """Refuse a provider of one's own whose access point is not named."""
    if context.proposed[PROVIDER] == CUSTOM and not context.proposed[APN]:
        raise InvalidValue("needs_apn")


_value = partial(row_kinds.value, source=Source.PROJECT, access=Access.LOCAL, on_page=True)

MOBILE_KEYS: tuple[ConfigurationKey, ...] = (
    _value(
        PROVIDER,
        values.one_of(AUTOMATIC, CUSTOM, *(each.id for each in PROVIDERS)),
        "Whose SIM card it is: automatic (the card tells), custom, or one of the list of providers.",
        kind="enum",
        default=AUTOMATIC,
        allowed="automatic, custom, or an entry of the list of providers",
        check=_needs_apn,
    ),
    _value(
        SERVICE_MODE,
        values.one_of(*SERVICE_MODES),
        "Which generation of the mobile network is used.",
        kind="enum",
        default=AUTOMATIC,
        allowed=", ".join(SERVICE_MODES),
    ),
    _value(
        APN,
        values.apn,
        "Access point name of the mobile provider; used with the provider “custom”.",
        allowed="up to 63 letters, digits, dots and hyphens",
        check=_needs_apn,
    ),
    _value(
        PIN,
        values.pin,
        "PIN of the SIM card. It is sent once; a wrong one costs a try.",
        kind="secret",
        secret=True,
        allowed="4 to 8 digits, or empty",
    ),
    _value(
        AUTHENTICATION,
        values.one_of(*AUTHENTICATIONS),
        "How the station signs in at the access point; used with the provider “custom”.",
        kind="enum",
        default="chap",
        allowed=", ".join(AUTHENTICATIONS),
    ),
    _value(
        USER,
        values.text(0, 64, ascii_only=True),
        "User name at the access point; used with the provider “custom”.",
        allowed="up to 64 characters",
    ),
    _value(
        PASSWORD,
        values.password(1, 64, optional=True),
        "Password at the access point; used with the provider “custom”.",
        kind="secret",
        secret=True,
        allowed="up to 64 characters",
    ),
)
