"""The manuals' own keys, those that begin with a slash and belong to the station rather than to OCPP."""

from station.domain.configuration import checks, values
from station.domain.configuration.keys import Access, ConfigurationKey, Effect, Source, Storage
from station.domain.configuration.row_kinds import flag, measured, value
from station.domain.meter_values import SignedDialect

VENDOR_KEYS: tuple[ConfigurationKey, ...] = (
    flag("/hw/auth/device/Dummy/allowStop", "false", "Plug&Charge: the station's button ends a session."),
    flag(
        "/hw/auth/device/Dummy/enabled",
        "false",
        "Plug&Charge: a session begins without a card; the same as identification “none”.",
    ),
    value(
        "/hw/auth/device/Dummy/id/value",
        values.id_tag,
        "The tag that stands for a card in Plug&Charge.",
        kind="idTag",
        default="DUMMY",
        allowed="1 to 20 characters",
    ),
    measured(
        "/hw/connectors/<connector-id>/data",
        "What the charging point's meter shows now: voltage and current per phase, power, energy.",
        kind="json",
    ),
    measured(
        "/hw/connectors/<connector-id>/meter/key", "Public key of the charging point's calibrated meter.", kind="text"
    ),
    value(
        "/hw/connectors/<connector-id>/evseId",
        values.evse_id,
        "EVSE ID on the display.",
        allowed="EVSE ID of ISO 15118 or empty",
    ),
    value(
        "/hw/connectors/<connector-id>/evseLabel",
        values.text(0, 20),
        "Number of the charging point on the display, for a card terminal.",
        allowed="up to 20 characters",
    ),
    value(
        "/Gui/Operator/Contact/phone",
        values.phone,
        "Support hotline on the display.",
        allowed="phone number of up to 30 characters",
    ),
    value(
        "/Price/<connector-id>/adhoc",
        values.price,
        "Price and payment address (as a QR code) for drivers without a contract, on the display.",
        kind="json",
        allowed='object with "price", "currency", "unit", "url"',
    ),
    measured(
        "/Network/Gateway/Device/Connection/signal",
        "Strength of the mobile signal.",
        kind="int",
        allowed="0 to 100 %",
    ),
    value(
        "/ocpp/chargeBoxIdentity",
        values.charge_box_identity,
        "Chargebox ID: written as a template, read as what it makes.",
        default="TE${serial}",
        allowed="template with ${serial}; 1 to 48 characters result",
        check=checks.charge_box_identity,
        read=checks.read_charge_box_identity,
        effect=Effect.OCPP_CONNECTION,
    ),
    value(
        "/ocpp/signedValueDialect",
        values.one_of(*(each.value for each in SignedDialect)),
        "How signed meter values are wrapped for the backend: raw (the record itself), oca (application note of the "
        "OCA) or htb (be.ENERGISED).",
        default=SignedDialect.OCA.value,
        allowed=", ".join(each.value for each in SignedDialect),
        access=Access.LOCAL,
        source=Source.PROJECT,
    ),
    flag(
        "/ocpp/stopTransactionsOnReset",
        "true",
        "The same value as StopTxOnReset.",
        storage=Storage.DERIVED,
        read=lambda stored: stored["StopTxOnReset"],
        write=lambda value: {"StopTxOnReset": value},
    ),
    value(
        checks.MAINS,
        values.integer(checks.MAINS_MINIMUM_MA, checks.MAINS_MAXIMUM_MA),
        "The most the whole station may draw from the grid, per phase. Set at the station it is the installer's "
        "ceiling as well; the backend can only go below that.",
        kind="int mA",
        default="63000",
        default_for=lambda facts: str(checks.mains_maximum_ma(facts)),
        allowed="6000 to the rated current of all charging points, at most 63000",
        check=checks.mains_current,
        read=checks.read_mains_current,
        store=checks.store_mains_current,
    ),
    value(
        "/Product/ActivationCode",
        values.text(1),
        "Takes a code that switches product features on.",
        secret=True,
        allowed="signed code",
        access=Access.WRITE_ONLY,
        storage=Storage.HANDED_ON,
    ),
    measured(
        "/Product/Features/<feature>", "Whether a product feature is switched on; one key per feature.", kind="bool"
    ),
    measured(
        "/Safety/Ovp/failed",
        "The overvoltage protection has tripped and must be replaced.",
        kind="bool",
        default="false",
    ),
    flag(
        "/Security/enableLocalVendorAccess",
        "false",
        "Vendor access to the local terminal.",
        check=checks.vendor_access,
    ),
    flag(
        "/Security/enableRemoteVendorAccess",
        "false",
        "Vendor access over SSH or OpenVPN.",
        check=checks.vendor_access,
    ),
    value(
        "/WebUi/password/reset",
        values.password(12, 128),
        "Sets the password of the web interface.",
        secret=True,
        allowed="password of 12 to 128 characters",
        access=Access.WRITE_ONLY,
        storage=Storage.HANDED_ON,
        check=checks.proven_link,
    ),
)
