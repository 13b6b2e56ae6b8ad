"""Configuration keys over OCPP: every row of the specification's table, and the rules of sections 5.5 and 5.8."""

import csv
from pathlib import Path

import pytest

from tests.process.conformance.bench import ConformanceBench, section

ROWS = [
    {**row, "key": row["key"].replace("<connector-id>", "1")}
    for row in csv.DictReader(Path(__file__).with_name("configuration_keys.csv").open(encoding="utf-8"))
    if "<feature>" not in row["key"]
]
NAMES = [row["key"] for row in ROWS]
BY_ACCESS = {access: [row["key"] for row in ROWS if row["access"] == access] for access in ("r", "rw", "w", "local")}
# Their value is made by the station, or the bench has set it.
OWN_VALUE = {
    "/hw/connectors/1/data",
    "/ocpp/url",
    "/ocpp/chargeBoxIdentity",
    "/modbus/port",
    "CurrentDateTime",
    "HeartbeatInterval",
    "MeterValueSampleInterval",
    "TransactionMessageRetryInterval",
    "/Network/Gateway/Device/Connection/signal",
    "/hw/connectors/1/meter/key",
    "/cluster/limitA",
}
SECRETS = {row["key"] for row in ROWS if row["type"] == "secret" or row["access"] == "w"}
BOOLEANS = [row["key"] for row in ROWS if row["access"] == "rw" and row["type"] == "bool"]
NUMBERS = [row["key"] for row in ROWS if row["access"] == "rw" and row["type"].startswith("int")]
MEASURAND_KEYS = ("MeterValuesSampledData", "MeterValuesAlignedData", "StopTxnSampledData", "StopTxnAlignedData")
CORE_REQUIRED = [
    "AuthorizeRemoteTxRequests",
    "ClockAlignedDataInterval",
    "ConnectionTimeOut",
    "ConnectorPhaseRotation",
    "GetConfigurationMaxKeys",
    "HeartbeatInterval",
    "LocalAuthorizeOffline",
    "LocalPreAuthorize",
    "MeterValuesAlignedData",
    "MeterValuesSampledData",
    "MeterValueSampleInterval",
    "NumberOfConnectors",
    "ResetRetries",
    "StopTransactionOnEVSideDisconnect",
    "StopTransactionOnInvalidId",
    "StopTxnAlignedData",
    "StopTxnSampledData",
    "SupportedFeatureProfiles",
    "TransactionMessageAttempts",
    "TransactionMessageRetryInterval",
    "UnlockConnectorOnEVSideDisconnect",
    "LocalAuthListEnabled",
    "LocalAuthListMaxLength",
    "SendLocalListMaxLength",
    "ChargeProfileMaxStackLevel",
    "ChargingScheduleAllowedChargingRateUnit",
    "ChargingScheduleMaxPeriods",
    "MaxChargingProfilesInstalled",
]


def change(bench: ConformanceBench, key: str, value: str) -> str:
    return bench.status_of("ChangeConfiguration", key=key, value=value)


@section("S 9.1", "S 9.2", "S 9.3", "S 9.4")
def test_every_key_the_standard_requires_is_in_the_complete_answer(bench: ConformanceBench) -> None:
    listed = {entry["key"] for entry in bench.call("GetConfiguration")["configurationKey"]}

    assert set(CORE_REQUIRED) <= listed


@section("S 5.8")
def test_without_names_all_keys_are_answered_each_once_and_no_secret(bench: ConformanceBench) -> None:
    answer = bench.call("GetConfiguration")

    names = [entry["key"] for entry in answer["configurationKey"]]
    assert len(set(names)) == len(names)
    assert not answer.get("unknownKey")
    assert set(BY_ACCESS["r"]) | set(BY_ACCESS["rw"]) <= set(names)
    assert not set(BY_ACCESS["local"]) & set(names)
    assert not [entry for entry in answer["configurationKey"] if entry["key"] in SECRETS and entry.get("value")]


@section("S 5.8")
def test_an_empty_list_of_names_means_all(bench: ConformanceBench) -> None:
    assert len(bench.call("GetConfiguration", key=[])["configurationKey"]) > 60


@section("S 5.8", "S 6.22")
@pytest.mark.parametrize("row", [row for row in ROWS if row["access"] in {"r", "rw"}], ids=lambda row: row["key"])
def test_a_readable_key_is_answered_with_its_access_and_value(bench: ConformanceBench, row: dict[str, str]) -> None:
    answer = bench.call("GetConfiguration", key=[row["key"]])

    (entry,) = answer["configurationKey"]
    assert entry["key"] == row["key"]
    assert entry["readonly"] is (row["access"] == "r")
    if row["key"] in SECRETS:
        assert not entry.get("value")
    elif row["key"] not in OWN_VALUE:
        assert entry.get("value", "") == row["default"]


@section("S 5.8", "W A01")
@pytest.mark.parametrize("key", BY_ACCESS["w"])
def test_a_write_only_key_is_never_answered_with_a_value(bench: ConformanceBench, key: str) -> None:
    answer = bench.call("GetConfiguration", key=[key])

    assert all(not entry.get("value") for entry in answer.get("configurationKey", []))
    assert key not in answer.get("unknownKey", [])


@section("S 5.8")
@pytest.mark.parametrize("key", BY_ACCESS["local"])
def test_a_local_key_does_not_exist_for_the_backend(bench: ConformanceBench, key: str) -> None:
    assert bench.call("GetConfiguration", key=[key]).get("unknownKey") == [key]
    assert change(bench, key, "1") in {"NotSupported", "Rejected"}


@section("S 5.8")
def test_known_and_unknown_names_are_told_apart(bench: ConformanceBench) -> None:
    answer = bench.call("GetConfiguration", key=["HeartbeatInterval", "NoSuchKey", "NumberOfConnectors", "Other"])

    assert [entry["key"] for entry in answer["configurationKey"]] == ["HeartbeatInterval", "NumberOfConnectors"]
    assert answer["unknownKey"] == ["NoSuchKey", "Other"]


@section("S 5.8", "S 9.1 GetConfigurationMaxKeys")
def test_more_names_than_get_configuration_max_keys_are_served(bench: ConformanceBench) -> None:
    names = (NAMES * 3)[:200]

    answer = bench.call("GetConfiguration", key=names)

    told = {entry["key"] for entry in answer["configurationKey"]} | set(answer["unknownKey"])
    assert told == set(names)


@section("S 7.28 CiString", "S 5.8")
@pytest.mark.parametrize("key", ["heartbeatinterval", "HEARTBEATINTERVAL", "hEARTBEATiNTERVAL"])
def test_names_of_keys_know_no_upper_and_lower_case(bench: ConformanceBench, key: str) -> None:
    assert bench.call("GetConfiguration", key=[key])["configurationKey"][0]["key"] == "HeartbeatInterval"
    assert change(bench, key, "300") == "Accepted"
    assert bench.value("HeartbeatInterval") == "300"


@section("S 5.5")
@pytest.mark.parametrize("key", BY_ACCESS["r"])
def test_a_read_only_key_cannot_be_changed(bench: ConformanceBench, key: str) -> None:
    before = bench.value(key)

    assert change(bench, key, "1") == "Rejected"

    assert key == "CurrentDateTime" or key.endswith("/data") or bench.value(key) == before


@section("S 5.5")
@pytest.mark.parametrize("key", ["NoSuchKey", "", "Heartbeat Interval", "🔌"])
def test_an_unknown_key_is_not_supported(bench: ConformanceBench, key: str) -> None:
    assert change(bench, key, "1") == "NotSupported"


@section("S 5.5")
@pytest.mark.parametrize(
    "key", [key for key in BY_ACCESS["rw"] if key not in SECRETS | {"/ocpp/url", "SecurityProfile"}]
)
def test_the_value_in_force_can_be_set_again(bench: ConformanceBench, key: str) -> None:
    value = bench.value(key) or ""
    if key == "/ocpp/chargeBoxIdentity":
        value = "TE${serial}"

    assert change(bench, key, value) in {"Accepted", "RebootRequired"} or value == ""


@section("S 5.5")
@pytest.mark.parametrize("value", ["1", "0", "yes", "on", "", "wahr", "truefalse", " "])
@pytest.mark.parametrize("key", ["LocalPreAuthorize", "/hw/auth/device/Dummy/enabled"])
def test_only_true_and_false_are_booleans(bench: ConformanceBench, key: str, value: str) -> None:
    assert change(bench, key, value) == "Rejected"
    assert bench.value(key) == "false"


@section("S 5.5")
@pytest.mark.parametrize("value", ["TRUE", "True", "tRuE"])
def test_true_may_be_written_in_any_case(bench: ConformanceBench, value: str) -> None:
    assert change(bench, "LocalPreAuthorize", value) == "Accepted"
    assert bench.value("LocalPreAuthorize") == "true"


@section("S 5.5")
@pytest.mark.parametrize("key", BOOLEANS)
def test_a_boolean_key_refuses_what_is_no_boolean(bench: ConformanceBench, key: str) -> None:
    assert change(bench, key, "maybe") == "Rejected"


@section("S 5.5")
@pytest.mark.parametrize("value", ["abc", "-1", "1.5", "99999999999999999999", "0x10", "", "1e3", "١٢"])
@pytest.mark.parametrize("key", NUMBERS)
def test_a_number_key_refuses_what_is_no_number_and_keeps_its_value(
    bench: ConformanceBench, key: str, value: str
) -> None:
    before = bench.value(key)

    answer = change(bench, key, value)

    if value == "" and not before:
        return
    assert answer == "Rejected"
    assert bench.value(key) == before


@section("S 5.5", "S 9.1")
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("StopTransactionOnEVSideDisconnect", "false"),
        ("UnlockConnectorOnEVSideDisconnect", "false"),
        ("SecurityProfile", "0"),
        ("SecurityProfile", "1"),
        ("SecurityProfile", "4"),
        ("TimeZone", "Middle/Earth"),
        ("TimeSource", "Sundial"),
        ("/power/station/mainsMaxCurrent", "5999"),
        ("/power/station/mainsMaxCurrent", "63001"),
        ("/ocpp/url", "http://127.0.0.1/"),
        ("/ocpp/url", "ws://"),
        ("/auth/identification", "guess"),
        ("/hw/auth/device/Dummy/id/value", "A" * 21),
        ("/hw/auth/device/Dummy/id/value", ""),
        ("AuthorizationKey", "short"),
        ("ConnectorPhaseRotation", "1.XYZ"),
        ("ConnectorPhaseRotation", "7.RST"),
    ],
)
def test_a_value_that_must_not_be_is_rejected(bench: ConformanceBench, key: str, value: str) -> None:
    before = bench.value(key)

    assert change(bench, key, value) == "Rejected"

    assert bench.value(key) == before


@section("S 5.5", "S 9.1 ConnectorPhaseRotation")
@pytest.mark.parametrize("value", ["0.RST,1.RST,2.STR", "1.TRS", "0.NotApplicable,1.Unknown"])
def test_phase_rotations_of_the_standard_are_accepted(bench: ConformanceBench, value: str) -> None:
    assert change(bench, "ConnectorPhaseRotation", value) == "Accepted"


@section("S 3.16.4", "S 9.1")
@pytest.mark.parametrize("key", MEASURAND_KEYS)
@pytest.mark.parametrize(
    ("value", "accepted"),
    [
        ("Energy.Active.Import.Register", True),
        ("Energy.Active.Import.Register,Voltage,Current.Import,Power.Active.Import", True),
        ("Voltage.L1,Current.Import.L2", True),
        ("Current.Offered, Power.Offered", True),
        ("", True),
        ("Warmth", False),
        ("Voltage,Warmth", False),
        ("Voltage.L9", False),
        (",".join(["Voltage"] * 17), False),
    ],
)
def test_lists_of_measurands_are_taken_as_a_whole_or_not_at_all(
    bench: ConformanceBench, key: str, value: str, *, accepted: bool
) -> None:
    before = bench.value(key)

    assert change(bench, key, value) == ("Accepted" if accepted else "Rejected")

    if not accepted:
        assert bench.value(key) == before


@section("S 9.1 MeterValueSampleInterval")
def test_the_other_spelling_of_the_second_manual_is_an_alias_that_is_not_listed(bench: ConformanceBench) -> None:
    assert change(bench, "MeterValuesSampleInterval", "30") == "Accepted"
    assert bench.value("MeterValueSampleInterval") == "30"
    assert bench.call("GetConfiguration", key=["MeterValuesSampleInterval"])["configurationKey"][0]["value"] == "30"

    listed = {entry["key"] for entry in bench.call("GetConfiguration")["configurationKey"]}
    assert "MeterValuesSampleInterval" not in listed


@section("S 9.1")
def test_stop_tx_on_reset_and_its_vendor_name_are_one(bench: ConformanceBench) -> None:
    assert change(bench, "/ocpp/stopTransactionsOnReset", "false") == "Accepted"
    assert bench.value("StopTxOnReset") == "false"


@section("S 9.1 NumberOfConnectors")
def test_the_facts_of_the_station_are_what_is_in_force(bench: ConformanceBench) -> None:
    assert bench.value("NumberOfConnectors") == "2"
    assert str(bench.value("/ocpp/url")).startswith("ws://127.0.0.1:")
    assert bench.value("/ocpp/chargeBoxIdentity") == bench.backend.wait_connected().station


@section("S 5.5")
def test_a_changed_value_survives_a_restart_of_all_processes(bench: ConformanceBench) -> None:
    bench.configure(ConnectionTimeOut=77, StopTxnAlignedData="Voltage")
    mark = bench.mark()

    bench.station.kill_group()
    bench.station.launch()
    bench.backend.wait_for("StatusNotification", where=lambda sent: sent["connectorId"] == 2, after=mark, timeout=20)

    assert bench.value("ConnectionTimeOut") == "77"
    assert bench.value("StopTxnAlignedData") == "Voltage"
