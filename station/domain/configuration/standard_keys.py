"""Keys of OCPP 1.6 and its security whitepaper, and the manuals' keys that stand among them without a slash."""

from station.domain.configuration import backend, checks, values
from station.domain.configuration.keys import Access, Check, ConfigurationKey, Effect, Parse, Source, Storage

_DAY_S = 86_400
_PROFILES = ("Core", "FirmwareManagement", "LocalAuthListManagement", "Reservation", "SmartCharging", "RemoteTrigger")
_PROTOCOLS = ("FTP", "FTPS", "HTTP", "HTTPS", "SFTP")
_READ_ONLY, _READ_WRITE = Access.READ_ONLY, Access.READ_WRITE
_MANUAL, _OCPP, _SECURITY = Source.MANUAL, Source.OCPP, Source.SECURITY


def _flag(
    name: str,
    default: str,
    description: str,
    *,
    access: Access = _READ_WRITE,
    source: Source = _MANUAL,
    effect: Effect = Effect.NONE,
    parse: Parse = values.boolean,
) -> ConfigurationKey:
    return ConfigurationKey(
        name=name,
        access=access,
        source=source,
        type="bool",
        default=default,
        parse=parse,
        effect=effect,
        allowed="true" if parse is values.true_only else "true, false",
        description=description,
    )


def _number(
    name: str,
    default: int,
    low: int,
    high: int,
    description: str,
    *,
    access: Access = _READ_WRITE,
    source: Source = _MANUAL,
    unit: str = "",
    effect: Effect = Effect.NONE,
    check: Check | None = None,
    aliases: tuple[str, ...] = (),
) -> ConfigurationKey:
    return ConfigurationKey(
        name=name,
        access=access,
        source=source,
        type=f"int {unit}".strip(),
        default=str(default),
        check=check,
        parse=values.integer(low, high),
        effect=effect,
        allowed=f"{low} to {high}",
        description=description,
        aliases=aliases,
    )


def _list(
    name: str,
    default: str,
    parse: Parse,
    description: str,
    *,
    allowed: str,
    access: Access = _READ_WRITE,
    source: Source = _MANUAL,
    effect: Effect = Effect.NONE,
    check: Check | None = None,
) -> ConfigurationKey:
    return ConfigurationKey(
        name=name,
        access=access,
        source=source,
        type="csl",
        default=default,
        parse=parse,
        check=check,
        effect=effect,
        allowed=allowed,
        description=description,
    )


def _measurands(name: str, default: str, description: str, source: Source) -> ConfigurationKey:
    return _list(
        name,
        default,
        values.measurands,
        description,
        allowed=f"measurands, at most {name}MaxLength",
        source=source,
        effect=Effect.METERING,
        check=checks.list_length(f"{name}MaxLength"),
    )


def _text(
    name: str,
    parse: Parse,
    description: str,
    *,
    allowed: str,
    kind: str = "text",
    default: str = "",
    access: Access = _READ_WRITE,
    source: Source = _MANUAL,
    effect: Effect = Effect.NONE,
    secret: bool = False,
    check: Check | None = None,
    storage: Storage = Storage.DATABASE,
) -> ConfigurationKey:
    return ConfigurationKey(
        name=name,
        access=access,
        source=source,
        type=kind,
        default=default,
        parse=parse,
        allowed=allowed,
        effect=effect,
        secret=secret,
        check=check,
        storage=storage,
        description=description,
    )


def _connectors() -> ConfigurationKey:
    return ConfigurationKey(
        name="NumberOfConnectors",
        access=_READ_ONLY,
        source=_MANUAL,
        type="int",
        default="2",
        default_for=lambda facts: str(facts.connectors),
        parse=values.integer(1, 2),
        allowed="1, 2",
        storage=Storage.DERIVED,
        read=lambda stored: stored["/identity/connectors"],
        write=lambda value: {"/identity/connectors": value},
        effect=Effect.RESTART,
        description="Number of charging points; follows /identity/connectors.",
    )


def _phase_rotation() -> ConfigurationKey:
    return ConfigurationKey(
        name="ConnectorPhaseRotation",
        access=_READ_WRITE,
        source=_OCPP,
        type="csl",
        default="0.RST,1.RST,2.RST",
        default_for=lambda facts: ",".join(f"{connector_id}.RST" for connector_id in range(facts.connectors + 1)),
        parse=values.phase_rotation,
        check=checks.phase_rotation,
        effect=Effect.LIMITS,
        allowed="RST, RTS, SRT, STR, TRS, TSR, NotApplicable, Unknown per charging point",
        description="How the phases of the charging points are wired to the grid (0: the station's feed).",
    )


STANDARD_KEYS: tuple[ConfigurationKey, ...] = (
    _flag(
        "AllowOfflineTxForUnknownId",
        "false",
        "Cards that nobody knows may charge while the backend is away.",
        effect=Effect.AUTHORIZATION,
    ),
    _text(
        "AuthIdLegicPrime",
        values.text(0, 255),
        "Pattern that reads the card number from LEGIC prime cards.",
        allowed="pattern",
        effect=Effect.AUTHORIZATION,
    ),
    _text(
        "AuthIdLegicAdvant",
        values.text(0, 255),
        "Pattern that reads the card number from LEGIC advant cards.",
        allowed="pattern",
        effect=Effect.AUTHORIZATION,
    ),
    _flag(
        "AuthorizationCacheEnabled",
        "true",
        "Whether the backend's answers about cards are kept.",
        effect=Effect.AUTHORIZATION,
    ),
    _text(
        "AuthorizationKey",
        backend.authorization_key,
        "Basic-auth key for the backend.",
        kind="secret",
        allowed="16 to 40 characters; 32 to 40 hex digits stand for bytes",
        effect=Effect.OCPP_CONNECTION,
        secret=True,
        check=checks.authorization_key,
    ),
    _flag(
        "AuthorizeRemoteTxRequests",
        "true",
        "Whether a remote start is authorised like a card.",
        source=_OCPP,
        effect=Effect.AUTHORIZATION,
    ),
    _number("BlinkRepeat", 3, 0, 100, "How often the lamp blinks as an answer.", source=_OCPP, effect=Effect.DISPLAY),
    _number("ChargeProfileMaxStackLevel", 8, 0, 100, "Highest stack level of a charging profile.", access=_READ_ONLY),
    _flag(
        "ChargingProfileStackPerConnector",
        "true",
        "Whether transaction profiles stack per charging point.",
        effect=Effect.LIMITS,
    ),
    _list(
        "ChargingScheduleAllowedChargingRateUnit",
        "Current,Power",
        values.list_of("Current", "Power", low=1),
        "Units in which charging schedules may be given.",
        allowed="Current, Power",
        access=_READ_ONLY,
    ),
    _number("ChargingScheduleMaxPeriods", 96, 1, 1000, "Most periods of a charging schedule.", access=_READ_ONLY),
    _number(
        "ClockAlignedDataInterval",
        0,
        0,
        _DAY_S,
        "Grid of the clock-aligned meter values; 0: none.",
        source=_OCPP,
        unit="s",
        effect=Effect.METERING,
    ),
    _number("ConnectionTimeOut", 120, 1, _DAY_S, "How long an authorised driver may take to plug in.", unit="s"),
    _phase_rotation(),
    _number("ConnectorPhaseRotationMaxLength", 3, 1, 100, "Most items of ConnectorPhaseRotation.", access=_READ_ONLY),
    _flag(
        "ConnectorSwitch3to1PhaseSupported",
        "false",
        "Whether a session can change between three phases and one.",
        access=_READ_ONLY,
    ),
    _text(
        "CurrentDateTime",
        values.text(),
        "The station's clock.",
        kind="dateTime",
        allowed="ISO 8601",
        access=_READ_ONLY,
        storage=Storage.LIVE,
    ),
    _number(
        "GetConfigurationMaxKeys", 100, 1, 1000, "How many keys one GetConfiguration may ask for.", access=_READ_ONLY
    ),
    _text(
        "GiroEStaticToken",
        values.secret(1, 255),
        "Fixed token for giro-e.",
        kind="secret",
        allowed="up to 255 characters",
        secret=True,
        effect=Effect.AUTHORIZATION,
    ),
    _number("HeartbeatInterval", 180, 1, 7 * _DAY_S, "Time between heartbeats.", unit="s", effect=Effect.OCPP_TIMERS),
    _flag("LocalAuthListEnabled", "true", "Whether the backend's local list is used.", effect=Effect.AUTHORIZATION),
    _number("LocalAuthListMaxLength", 1000, 1, 1000, "Most entries of the local list.", access=_READ_ONLY),
    _flag(
        "LocalAuthorizeOffline",
        "true",
        "Whether known cards may charge while the backend is away.",
        effect=Effect.AUTHORIZATION,
    ),
    _flag(
        "LocalPreAuthorize",
        "false",
        "Whether known cards start before the backend has answered.",
        effect=Effect.AUTHORIZATION,
    ),
    _number("MaxChargingProfilesInstalled", 20, 1, 1000, "Most charging profiles at a time.", access=_READ_ONLY),
    _number(
        "MaxEnergyOnInvalidId",
        0,
        0,
        1_000_000,
        "Energy that a card refused afterwards may still take.",
        source=_OCPP,
        unit="Wh",
    ),
    _measurands(
        "MeterValuesAlignedData", "Energy.Active.Import.Register", "What clock-aligned meter values hold.", _OCPP
    ),
    _number("MeterValuesAlignedDataMaxLength", 16, 1, 100, "Most items of MeterValuesAlignedData.", access=_READ_ONLY),
    _number(
        "MeterValueSampleInterval",
        60,
        0,
        _DAY_S,
        "Time between the meter values of a session; 0: none.",
        unit="s",
        effect=Effect.METERING,
        aliases=("MeterValuesSampleInterval",),
    ),
    _measurands(
        "MeterValuesSampledData",
        "Energy.Active.Import.Register,Power.Active.Import,Current.Import,Voltage",
        "What the meter values of a session hold.",
        _MANUAL,
    ),
    _number("MeterValuesSampledDataMaxLength", 16, 1, 100, "Most items of MeterValuesSampledData.", access=_READ_ONLY),
    _number(
        "MinimumStatusDuration",
        0,
        0,
        3600,
        "How long a status must last before the backend hears of it.",
        source=_OCPP,
        unit="s",
    ),
    _connectors(),
    _text(
        "PreAuthorize",
        values.one_of("", "giro-e"),
        "Way of authorising before the card.",
        allowed="giro-e or empty",
        effect=Effect.AUTHORIZATION,
    ),
    _flag(
        "ReserveConnectorZeroSupported", "true", "Whether any one charging point can be reserved.", access=_READ_ONLY
    ),
    _number("ResetRetries", 1, 0, 100, "How often a failed reset is tried again.", source=_OCPP),
    _number("SendLocalListMaxLength", 1000, 1, 1000, "Most entries of one SendLocalList.", access=_READ_ONLY),
    _flag("StopTransactionOnEVSideDisconnect", "true", "Pulling the plug ends the session.", parse=values.true_only),
    _flag("StopTransactionOnInvalidId", "true", "Whether a card refused afterwards ends its session.", source=_OCPP),
    _measurands("StopTxnAlignedData", "", "What clock-aligned values of a session StopTransaction carries.", _OCPP),
    _number("StopTxnAlignedDataMaxLength", 16, 1, 100, "Most items of StopTxnAlignedData.", access=_READ_ONLY),
    _measurands(
        "StopTxnSampledData",
        "Energy.Active.Import.Register",
        "What values at begin and end StopTransaction carries.",
        _MANUAL,
    ),
    _number("StopTxnSampledDataMaxLength", 16, 1, 100, "Most items of StopTxnSampledData.", access=_READ_ONLY),
    _flag("StopTxOnReset", "true", "Whether a reset ends running sessions."),
    _list(
        "SupportedFeatureProfiles",
        ",".join(_PROFILES),
        values.list_of(*_PROFILES, low=1),
        "Profiles of OCPP 1.6 that are switched on.",
        allowed=", ".join(_PROFILES),
        access=_READ_ONLY,
        effect=Effect.OCPP_CONNECTION,
        check=checks.list_length("SupportedFeatureProfilesMaxLength"),
    ),
    _number(
        "SupportedFeatureProfilesMaxLength", 6, 1, 100, "Most items of SupportedFeatureProfiles.", access=_READ_ONLY
    ),
    _list(
        "SupportedFileTransferProtocols",
        ",".join(_PROTOCOLS),
        values.list_of(*_PROTOCOLS, low=1),
        "Ways of uploading and downloading files.",
        allowed=", ".join(_PROTOCOLS),
        access=_READ_ONLY,
    ),
    _list(
        "TimeSource",
        "NTP,HeartBeat",
        values.list_of("NTP", "HeartBeat", low=1),
        "What sets the clock.",
        allowed="NTP, HeartBeat",
        effect=Effect.CLOCK,
    ),
    _text(
        "TimeZone",
        values.text(1, 64, ascii_only=True),
        "Time zone of the texts for people.",
        default="Europe/Berlin",
        allowed="IANA name",
        effect=Effect.CLOCK,
        check=checks.time_zone,
    ),
    _number(
        "TransactionMessageAttempts",
        3,
        0,
        1000,
        "Kept but ignored (calibration law): a transaction message is never given up.",
    ),
    _number(
        "TransactionMessageRetryInterval",
        60,
        1,
        _DAY_S,
        "Time before a refused transaction message is repeated.",
        source=_OCPP,
        unit="s",
    ),
    _flag(
        "UnlockConnectorOnEVSideDisconnect",
        "true",
        "Pulling the plug at the car unlocks the station's side.",
        parse=values.true_only,
    ),
    _number(
        "WebSocketPingInterval",
        60,
        0,
        _DAY_S,
        "Time between WebSocket pings; 0: none.",
        unit="s",
        effect=Effect.OCPP_TIMERS,
    ),
    _number(
        "SecurityProfile",
        1,
        0,
        3,
        "How the connection is secured; the backend can only raise it.",
        source=_SECURITY,
        effect=Effect.OCPP_CONNECTION,
        check=checks.security_profile,
    ),
    _flag(
        "AdditionalRootCertificateCheck",
        "false",
        "Whether a new CA must be signed by the one before.",
        access=_READ_ONLY,
        source=_SECURITY,
    ),
    _number(
        "CertificateSignedMaxChainSize",
        10_000,
        1,
        100_000,
        "Longest certificate chain that is taken.",
        access=_READ_ONLY,
        source=_SECURITY,
    ),
    _number("CertificateStoreMaxLength", 20, 1, 100, "Most CA certificates.", access=_READ_ONLY, source=_SECURITY),
    _text(
        "CpoName",
        values.text(0, 64),
        "Name of the operator in the station's certificate.",
        allowed="up to 64 characters",
        source=_SECURITY,
    ),
)
