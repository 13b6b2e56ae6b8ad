"""The registry of configuration keys and what a change of them does."""

import csv
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.domain.commands import Origin
from station.domain.configuration import (
    ROWS,
    Access,
    ChangePlan,
    CheckQueries,
    ConfigurationRefused,
    Effect,
    Registry,
    RegistryFacts,
    Snapshot,
    Storage,
    UnknownKey,
    plan_change,
)
from station.domain.configuration.problems import TEMPLATES

SPECIFICATION = Path("/work/shared/spec/configuration_keys.csv")
STATION = {"/identity/serial": "100002440", "/identity/connectors": "2", "/identity/ratedCurrentA": "32"}
KEY = "0123456789abcdef"


def present(stored: Mapping[str, str] | None = None) -> Snapshot:
    everything = {**STATION, **(stored or {})}
    return Snapshot(Registry(RegistryFacts.of(everything)), everything)


def plan(
    items: Mapping[str, str],
    *,
    origin: Origin = Origin.LOCAL,
    stored: Mapping[str, str] | None = None,
    queries: CheckQueries | None = None,
) -> ChangePlan:
    return plan_change(items, origin=origin, present=present(stored), queries=queries or CheckQueries())


def codes(items: Mapping[str, str], **more: object) -> list[tuple[str, str]]:
    with pytest.raises(ConfigurationRefused) as refused:
        plan(items, **more)  # type: ignore[arg-type]
    return [(problem.key, problem.code) for problem in refused.value.problems]


def after(items: Mapping[str, str], **more: object) -> Snapshot:
    made = plan(items, **more)  # type: ignore[arg-type]
    stored = {**STATION, **(more.get("stored") or {}), **made.identity}  # type: ignore[dict-item]
    for name, value in made.database.items():
        stored.pop(name, None)
        if value is not None:
            stored[name] = value
    return present(stored)


@pytest.mark.skipif(not SPECIFICATION.exists(), reason="the specification is not part of a checkout")
def test_the_registry_has_the_keys_of_the_specification_and_beyond_them_local_ones_and_those_of_signed_values() -> None:
    with SPECIFICATION.open(encoding="utf-8", newline="") as file:
        specified = {
            row["key"]: (row["access"], row["origin"], row["type"], row["default"]) for row in csv.DictReader(file)
        }

    registered = {key.name: (key.access.value, key.source.value, key.type, key.default) for key in ROWS}

    assert {name: row for name, row in registered.items() if name in specified} == specified
    beyond = {row[:2] for name, row in registered.items() if name not in specified}
    # The OCA's application note on signed values names keys that the manuals are too old to know.
    assert beyond == {("local", "project"), ("r", "signed_values"), ("rw", "signed_values")}


def test_every_default_is_a_value_that_its_own_key_accepts() -> None:
    for connectors in (1, 2):
        snapshot = present({"/identity/connectors": str(connectors)})
        settable = {
            key.name: snapshot.registry.defaults[key.name]
            for key in snapshot.registry.keys
            if key.storage is Storage.DATABASE and snapshot.registry.defaults[key.name]
        }

        assert plan_change(settable, origin=Origin.LOCAL, present=snapshot, queries=CheckQueries()).changes == ()


def test_every_refusal_has_a_sentence_that_its_data_fills() -> None:
    assert [problem for problem in TEMPLATES.values() if "%(" in problem and ")s" not in problem] == []
    for items in ({"HeartbeatInterval": "0"}, {"/auth/authenticator": "x"}, {"Nonsense": "1"}, {"TimeSource": "Sun"}):
        with pytest.raises(ConfigurationRefused) as refused:
            plan(items)
        assert next(iter(items)) in str(refused.value)


def test_keys_are_found_in_any_case_and_by_alias() -> None:
    registry = present().registry

    assert registry.find("HEARTBEATINTERVAL").name == "HeartbeatInterval"
    assert registry.find("metervaluessampleinterval").name == "MeterValueSampleInterval"
    assert registry.find("/HW/connectors/2/EVSEID").connector_id == 2


def test_an_alias_of_another_spelling_is_not_listed() -> None:
    assert "MeterValuesSampleInterval" not in {key.name for key in present().registry.keys}


def test_an_unknown_key_names_its_nearest_neighbours() -> None:
    with pytest.raises(UnknownKey) as unknown:
        present().registry.find("HeartbeatInterwal")

    assert unknown.value.nearest[0] == "HeartbeatInterval"


def test_a_station_with_one_charging_point_has_keys_for_one() -> None:
    registry = present({"/identity/connectors": "1"}).registry

    assert registry.find("/Price/1/adhoc")
    with pytest.raises(UnknownKey):
        registry.find("/Price/2/adhoc")


def test_product_features_are_keys_of_their_own() -> None:
    registry = Registry(RegistryFacts(), features=("ocpp", "modbus"))

    assert registry.find("/Product/Features/modbus").access is Access.READ_ONLY
    assert {key.name for key in registry.keys if key.row == "/Product/Features/<feature>"} == {
        "/Product/Features/ocpp",
        "/Product/Features/modbus",
    }


@pytest.mark.parametrize(
    ("connectors", "rated_a", "milliampere"),
    [("1", "32", "32000"), ("2", "32", "63000"), ("1", "48", "48000"), ("2", "16", "32000"), ("1", "6", "6000")],
)
def test_the_mains_limit_follows_number_and_rating_of_the_charging_points(
    connectors: str, rated_a: str, milliampere: str
) -> None:
    snapshot = present({"/identity/connectors": connectors, "/identity/ratedCurrentA": rated_a})

    assert snapshot["/power/station/mainsMaxCurrent"] == milliampere
    assert snapshot["NumberOfConnectors"] == connectors


def test_more_than_the_mains_limit_of_the_station_is_refused() -> None:
    one = {"/identity/connectors": "1"}

    assert codes({"/power/station/mainsMaxCurrent": "32001"}, stored=one) == [
        ("/power/station/mainsMaxCurrent", "range")
    ]
    assert codes({"/power/station/mainsMaxCurrent": "5999"}) == [("/power/station/mainsMaxCurrent", "range")]


def test_a_station_rated_48_ampere_can_be_set_up_in_one_call() -> None:
    snapshot = after(
        {"/power/station/mainsMaxCurrent": "48000", "/identity/connectors": "1", "/identity/ratedCurrentA": "48"}
    )

    assert snapshot["/power/station/mainsMaxCurrent"] == "48000"
    assert codes(
        {"/power/station/mainsMaxCurrent": "48001", "/identity/connectors": "1", "/identity/ratedCurrentA": "48"}
    ) == [("/power/station/mainsMaxCurrent", "range")]


def test_a_station_that_loses_a_charging_point_reads_the_smaller_mains_limit() -> None:
    assert (
        after({"NumberOfConnectors": "1"}, stored={"/power/station/mainsMaxCurrent": "50000"})[
            "/power/station/mainsMaxCurrent"
        ]
        == "32000"
    )


def test_a_mains_limit_somebody_chose_is_kept_even_if_it_is_the_default_now() -> None:
    one = {"/identity/connectors": "1"}

    made = plan({"/power/station/mainsMaxCurrent": "32000"}, stored=one)

    assert made.database == {"/power/station/mainsMaxCurrent": "32000"}


MAINS = "/power/station/mainsMaxCurrent"
CEILING = "/power/station/mainsCeiling"


def chain(*changes: tuple[Origin, dict[str, str]]) -> Snapshot:
    stored = dict(STATION)
    for origin, items in changes:
        for name, value in plan(items, origin=origin, stored=stored).database.items():
            stored.pop(name, None)
            if value is not None:
                stored[name] = value
    return present(stored)


@pytest.mark.parametrize("origin", sorted(set(Origin) - {Origin.WEB, Origin.LOCAL}))
def test_nobody_but_the_installer_raises_the_mains_limit(origin: Origin) -> None:
    stored = {name: value for name, value in plan({MAINS: "32000"}).database.items() if value is not None}

    assert codes({MAINS: "32001"}, origin=origin, stored=stored) != []
    with suppress(ConfigurationRefused):
        lowered = chain((Origin.LOCAL, {MAINS: "32000"}), (origin, {MAINS: "20000"}))
        assert (lowered[MAINS], lowered[CEILING]) == ("20000", "32000")


def test_the_backend_stays_below_what_the_installer_set() -> None:
    """reviews/security.md, finding 3: 32 A set at the station, 63 A asked for by the backend."""
    local = plan({MAINS: "32000"}).database
    stored = {name: value for name, value in local.items() if value is not None}

    for too_much in ("63000", "32001"):
        assert codes({MAINS: too_much}, origin=Origin.BACKEND, stored=stored) == [(MAINS, "above_ceiling")]
    lowered = chain((Origin.LOCAL, {MAINS: "32000"}), (Origin.BACKEND, {MAINS: "20000"}))
    assert (lowered[MAINS], lowered[CEILING]) == ("20000", "32000")
    raised = chain(
        (Origin.LOCAL, {MAINS: "32000"}), (Origin.BACKEND, {MAINS: "20000"}), (Origin.BACKEND, {MAINS: "32000"})
    )
    assert (raised[MAINS], raised[CEILING]) == ("32000", "32000")


@pytest.mark.parametrize("origin", [Origin.LOCAL, Origin.WEB])
def test_the_installer_has_the_last_word_on_the_mains_limit(origin: Origin) -> None:
    lower = (Origin.BACKEND, {MAINS: "20000"})

    after_all = chain((Origin.LOCAL, {MAINS: "32000"}), lower, (origin, {MAINS: "50000"}))

    assert (after_all[MAINS], after_all[CEILING]) == ("50000", "50000")


def test_a_lower_ceiling_takes_the_backends_limit_along_and_a_higher_one_leaves_it() -> None:
    begun = ((Origin.LOCAL, {MAINS: "40000"}), (Origin.BACKEND, {MAINS: "30000"}))

    lowered = chain(*begun, (Origin.LOCAL, {CEILING: "16000"}))
    assert (lowered[MAINS], lowered[CEILING]) == ("16000", "16000")
    raised = chain(*begun, (Origin.LOCAL, {CEILING: "16000"}), (Origin.LOCAL, {CEILING: "50000"}))
    assert (raised[MAINS], raised[CEILING]) == ("16000", "50000")
    higher = chain(*begun, (Origin.LOCAL, {CEILING: "50000"}))
    assert (higher[MAINS], higher[CEILING]) == ("30000", "50000")


@pytest.mark.parametrize("key", [CEILING, "/power/station/mainsBackendLimit"])
def test_the_ceiling_itself_is_out_of_the_backends_reach(key: str) -> None:
    assert codes({key: "63000"}, origin=Origin.BACKEND) == [(key, "unknown_key")]


def test_a_backend_limit_does_not_survive_above_the_share_of_fewer_charging_points() -> None:
    assert (
        after({"NumberOfConnectors": "1"}, stored={MAINS: "63000", "/power/station/mainsBackendLimit": "50000"})[MAINS]
        == "32000"
    )


@given(
    st.lists(
        st.tuples(
            st.sampled_from([(Origin.LOCAL, MAINS), (Origin.LOCAL, CEILING), (Origin.BACKEND, MAINS)]),
            st.integers(6, 63),
        ),
        max_size=8,
    )
)
def test_whatever_was_set_before_the_limit_in_force_is_never_above_the_installers(
    changes: list[tuple[tuple[Origin, str], int]],
) -> None:
    made: list[tuple[Origin, dict[str, str]]] = []
    ceiling = 63
    for (origin, key), ampere in changes:
        if origin is Origin.BACKEND and ampere > ceiling:
            continue
        if origin is Origin.LOCAL:
            ceiling = ampere
        made.append((origin, {key: str(ampere * 1000)}))

    found = chain(*made)

    assert int(found[MAINS]) <= int(found[CEILING]) == ceiling * 1000


def test_a_value_that_is_the_default_is_not_stored() -> None:
    assert plan({"HeartbeatInterval": "180"}, stored={"HeartbeatInterval": "60"}).database == {
        "HeartbeatInterval": None
    }


def test_both_keys_about_stopping_at_a_reset_are_one_value() -> None:
    assert after({"StopTxOnReset": "false"})["/ocpp/stopTransactionsOnReset"] == "false"
    assert after({"/ocpp/stopTransactionsOnReset": "FALSE"})["StopTxOnReset"] == "false"
    assert codes({"/ocpp/stopTransactionsOnReset": "true", "StopTxOnReset": "false"}) == [
        ("/ocpp/stopTransactionsOnReset", "contradiction")
    ]


@pytest.mark.parametrize(
    ("mode", "dummy", "offline_unknown"),
    [("none", "true", "false"), ("any", "false", "true"), ("whitelisted", "false", "false")],
)
def test_the_identification_mode_sets_the_keys_that_belong_to_it(mode: str, dummy: str, offline_unknown: str) -> None:
    snapshot = after({"/auth/identification": mode})

    assert snapshot["/hw/auth/device/Dummy/enabled"] == dummy
    assert snapshot["AllowOfflineTxForUnknownId"] == offline_unknown
    assert snapshot["/auth/identification"] == mode


def test_the_keys_of_an_identification_mode_set_the_mode() -> None:
    assert after({"/hw/auth/device/Dummy/enabled": "true"})["/auth/identification"] == "none"
    assert after({"AllowOfflineTxForUnknownId": "true"})["/auth/identification"] == "any"
    assert (
        after({"/hw/auth/device/Dummy/enabled": "false"}, stored={"/hw/auth/device/Dummy/enabled": "true"})[
            "/auth/identification"
        ]
        == "whitelisted"
    )


def test_a_mode_and_a_key_that_contradict_each_other_are_refused() -> None:
    assert codes({"/auth/identification": "none", "/hw/auth/device/Dummy/enabled": "false"}) == [
        ("/auth/identification", "contradiction")
    ]


def test_the_same_key_twice_with_two_values_is_refused() -> None:
    assert codes({"MeterValueSampleInterval": "10", "MeterValuesSampleInterval": "20"}) == [
        ("MeterValueSampleInterval", "contradiction")
    ]


def test_all_problems_of_a_change_are_named_together() -> None:
    assert codes(
        {"HeartbeatInterval": "1e3", "StopTxOnReset": "yes", "Nonsense": "1", "TimeZone": "Berlin"},
        queries=CheckQueries(knows_time_zone=lambda name: "/" in name),
    ) == [
        ("HeartbeatInterval", "integer"),
        ("StopTxOnReset", "boolean"),
        ("Nonsense", "unknown_key"),
        ("TimeZone", "time_zone"),
    ]


@pytest.mark.parametrize("name", ["StopTransactionOnEVSideDisconnect", "UnlockConnectorOnEVSideDisconnect"])
def test_pulling_the_plug_cannot_be_made_harmless(name: str) -> None:
    assert codes({name: "false"}) == [(name, "true_only")]
    assert plan({name: "True"}).changes == ()


def test_the_backend_cannot_write_what_is_read_only_and_does_not_know_local_keys() -> None:
    assert codes(
        {"NumberOfConnectors": "1", "/ocpp/verifyHostname": "false", "CurrentDateTime": "now"}, origin=Origin.BACKEND
    ) == [
        ("NumberOfConnectors", "read_only"),
        ("/ocpp/verifyHostname", "unknown_key"),
        ("CurrentDateTime", "read_only"),
    ]


def test_the_command_line_writes_read_only_keys_except_measured_ones() -> None:
    assert after({"SupportedFeatureProfiles": "core,Reservation"})["SupportedFeatureProfiles"] == "Core,Reservation"
    assert after({"ReserveConnectorZeroSupported": "false"})["ReserveConnectorZeroSupported"] == "false"
    assert codes({"/Safety/Ovp/failed": "true"}) == [("/Safety/Ovp/failed", "live_value")]


def test_the_web_interface_sets_only_those_local_keys_that_have_their_place_on_a_page() -> None:
    assert codes({"/ocpp/reconnectMinS": "5"}, origin=Origin.WEB) == [("/ocpp/reconnectMinS", "read_only")]
    assert after({"/ocpp/verifyHostname": "false"}, origin=Origin.WEB)["/ocpp/verifyHostname"] == "false"
    assert after({"/ocpp/trustPlainLink": "true"}, origin=Origin.WEB)["/ocpp/trustPlainLink"] == "true"


def test_the_chargebox_id_is_written_as_a_template_and_read_as_its_result() -> None:
    snapshot = after({"/ocpp/chargeBoxIdentity": "CP-${serial}-A"})

    assert snapshot["/ocpp/chargeBoxIdentity"] == "CP-100002440-A"
    assert present()["/ocpp/chargeBoxIdentity"] == "TE100002440"


def test_a_chargebox_id_that_gets_too_long_with_the_serial_number_is_refused() -> None:
    fits, too_long = "x" * 39 + "${serial}", "x" * 40 + "${serial}"

    assert len(after({"/ocpp/chargeBoxIdentity": fits})["/ocpp/chargeBoxIdentity"]) == 48
    assert codes({"/ocpp/chargeBoxIdentity": too_long}) == [("/ocpp/chargeBoxIdentity", "too_long")]
    assert codes({"/identity/serial": "1" * 25}, stored={"/ocpp/chargeBoxIdentity": fits}) == [
        ("/identity/serial", "too_long")
    ]


def test_the_backend_raises_the_security_profile_only_upwards_and_with_a_key() -> None:
    with_key = {"AuthorizationKey": KEY, "SecurityProfile": "1"}

    assert plan({"SecurityProfile": "2"}, origin=Origin.BACKEND, stored=with_key).database == {"SecurityProfile": "2"}
    assert codes({"SecurityProfile": "2"}, origin=Origin.BACKEND) == [("SecurityProfile", "needs_authorization_key")]
    for lower_or_equal in ("0", "1"):
        assert codes({"SecurityProfile": lower_or_equal}, origin=Origin.BACKEND, stored=with_key) == [
            ("SecurityProfile", "security_profile_upwards")
        ]
    assert plan({"SecurityProfile": "0"}, origin=Origin.WEB).database == {"SecurityProfile": "0"}


def test_a_higher_security_profile_needs_its_certificates() -> None:
    stored = {"AuthorizationKey": KEY}
    without_ca = CheckQueries(has_backend_ca=lambda: False)
    without_own = CheckQueries(has_own_certificate=lambda: False)

    assert codes({"SecurityProfile": "2"}, origin=Origin.BACKEND, stored=stored, queries=without_ca) == [
        ("SecurityProfile", "needs_backend_ca")
    ]
    assert codes({"SecurityProfile": "3"}, origin=Origin.BACKEND, stored=stored, queries=without_own) == [
        ("SecurityProfile", "needs_own_certificate")
    ]


def test_the_backend_cannot_take_the_authorization_key_away() -> None:
    assert codes({"AuthorizationKey": ""}, origin=Origin.BACKEND) == [("AuthorizationKey", "empty")]
    assert after({"AuthorizationKey": ""}, stored={"AuthorizationKey": KEY})["AuthorizationKey"] == ""


def test_the_reconnect_delays_keep_their_order() -> None:
    assert codes({"/ocpp/reconnectMinS": "30", "/ocpp/reconnectMaxS": "20"}) == [
        ("/ocpp/reconnectMinS", "above_maximum_delay"),
        ("/ocpp/reconnectMaxS", "above_maximum_delay"),
    ]
    assert plan({"/ocpp/reconnectMinS": "1", "/ocpp/reconnectMaxS": "1"})


def test_a_list_longer_than_its_maximum_is_refused() -> None:
    assert codes({"ConnectorPhaseRotation": "0.RST,1.RST"}, stored={"ConnectorPhaseRotationMaxLength": "1"}) == [
        ("ConnectorPhaseRotation", "too_many_items")
    ]
    assert codes(
        {"MeterValuesSampledData": "Voltage,Current.Import"}, stored={"MeterValuesSampledDataMaxLength": "1"}
    ) == [("MeterValuesSampledData", "too_many_items")]


def test_a_measurand_given_too_often_makes_the_list_too_long_all_the_same() -> None:
    assert codes({"StopTxnSampledData": ",".join(["Voltage"] * 17)}) == [("StopTxnSampledData", "too_many_items")]
    assert plan({"StopTxnSampledData": ",".join(["Voltage"] * 16)})


def test_a_phase_rotation_names_charging_points_that_are_there() -> None:
    assert codes({"ConnectorPhaseRotation": "3.RST"}) == [("ConnectorPhaseRotation", "no_such_connector")]
    assert present({"/identity/connectors": "1"})["ConnectorPhaseRotation"] == "0.RST,1.RST"


def test_modbus_ports_of_all_charging_points_must_exist() -> None:
    assert codes({"/modbus/port": "65535"}) == [("/modbus/port", "range")]
    assert plan({"/modbus/port": "65535"}, stored={"/identity/connectors": "1"})


def test_the_signature_check_stays_on_with_real_hardware() -> None:
    real = CheckQueries(may_be_simulated=lambda: False)

    assert codes({"/update/requireSignature": "false"}, queries=real) == [
        ("/update/requireSignature", "simulated_only")
    ]


def test_a_change_says_what_applies_it() -> None:
    effects = {change.key: change.effect for change in plan({"/ocpp/reconnectMinS": "5", "TimeZone": "UTC"}).changes}

    assert effects == {"/ocpp/reconnectMinS": Effect.OCPP_TIMERS, "TimeZone": Effect.NONE}


def test_keys_of_a_charging_point_can_be_set_in_the_change_that_adds_it() -> None:
    one = {"/identity/connectors": "1"}

    assert plan({"/identity/connectors": "2", "/hw/connectors/2/evseLabel": "B"}, stored=one).database == {
        "/hw/connectors/2/evseLabel": "B"
    }


def test_a_factory_password_with_the_serial_number_in_it_is_refused() -> None:
    of_the_sticker, refused = "/identity/factoryPassword", [("/identity/factoryPassword", "holds_serial")]

    assert codes({of_the_sticker: "100002440"}, stored=STATION) == refused
    assert codes({"/identity/serial": "TE-0815", of_the_sticker: "x-te-0815-x"}) == refused
    # Stations made up to July 2025 have none.
    for taken in ("ZD5HM8RT3VNE", ""):
        assert plan({of_the_sticker: taken}, stored=STATION).identity == {of_the_sticker: taken}


@pytest.mark.parametrize(
    ("password", "code"),
    [("K7WQ2MZ9PXAB", "printed_example"), ("abababab", "few_characters"), ("ZD5HM8RT ", "blank_at_end")],
)
def test_a_factory_password_that_others_know_or_guess_is_refused(password: str, code: str) -> None:
    assert codes({"/identity/factoryPassword": password}, stored=STATION) == [("/identity/factoryPassword", code)]


SECRETS = {key.name for key in ROWS if key.secret}


def test_the_secret_keys_are_these() -> None:
    expected = {
        "AuthorizationKey",
        "GiroEStaticToken",
        "/cluster/key",
        "/identity/factoryPassword",
        "/mobile/password",
        "/mobile/pin",
        "/Product/ActivationCode",
        "/WebUi/password/reset",
    }

    assert expected == SECRETS


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_no_secret_shows_in_what_a_change_says_of_itself(name: str) -> None:
    canary = "47114711" if name == "/mobile/pin" else "canary-4711-canary"

    made = plan({name: canary})

    assert canary not in repr(made)
    assert canary not in repr(made.changes)
    assert canary not in repr(present({name: canary}))


@given(st.sampled_from([key.name for key in present().registry.keys]), st.text(max_size=600))
def test_no_text_from_the_backend_breaks_a_change(name: str, value: str) -> None:
    try:
        stored = plan({name: value}, origin=Origin.BACKEND).database
    except ConfigurationRefused as refused:
        reasons = [str(problem) for problem in refused.problems]
    else:
        reasons = [f"{key}: too long" for key, text in stored.items() if text is not None and len(text) > 500]
        assert reasons == []
        return

    assert all(reason.startswith(name) for reason in reasons)


@given(st.sampled_from([key.name for key in present().registry.keys]), st.text(max_size=60))
def test_setting_what_a_key_reads_as_changes_nothing(name: str, value: str) -> None:
    try:
        first = after({name: value})
    except ConfigurationRefused:
        return
    key = first.registry.find(name)
    if key.storage in {Storage.HANDED_ON, Storage.LIVE} or name == "/ocpp/chargeBoxIdentity":
        return

    again = plan_change({name: first[name]}, origin=Origin.LOCAL, present=first, queries=CheckQueries())

    assert again.changes == ()
