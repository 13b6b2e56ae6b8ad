"""The configuration that the control loop follows, read at once and kept at hand."""

from dataclasses import dataclass

from hardware.runtime.records import RecordStore
from station.domain.meter_values import (
    SIGNED_CONTEXTS,
    KeyPolicy,
    MeasurandSelection,
    ReadingContext,
    contexts,
    parse_measurands,
)
from station.services import configuration


@dataclass(frozen=True, kw_only=True)
class MeterSchedule:
    """Which measurands are recorded at which intervals (OCPP 1.6 sections 3.16 and 4.7)."""

    sampled: tuple[MeasurandSelection, ...] = ()
    aligned: tuple[MeasurandSelection, ...] = ()
    stop_sampled: tuple[MeasurandSelection, ...] = ()
    stop_aligned: tuple[MeasurandSelection, ...] = ()
    start: tuple[MeasurandSelection, ...] = ()
    sample_interval_s: int = 0
    aligned_interval_s: int = 0

    @property
    def stop_both(self) -> tuple[MeasurandSelection, ...]:
        """What begin and end values carry."""
        return tuple(dict.fromkeys((*self.stop_sampled, *self.stop_aligned)))


@dataclass(frozen=True, kw_only=True)
class SignedReadings:
    """Which signed meter values the backend is told, in which message, and whether with the public key.

    Both the keys of the OCA's paper and those of SAFE say so: what either of them does not want is not told.
    """

    in_stop: frozenset[ReadingContext] = SIGNED_CONTEXTS
    in_meter_values: frozenset[ReadingContext] = frozenset()
    key: KeyPolicy = KeyPolicy.ONCE


@dataclass(frozen=True, kw_only=True)
class _Values:
    meter_schedule: MeterSchedule = MeterSchedule()
    signed_readings: SignedReadings = SignedReadings()
    connection_timeout_s: float = 120.0


def _read() -> _Values:
    def selections(key: str) -> tuple[MeasurandSelection, ...]:
        return parse_measurands(configuration.get(key), configuration.get_int(f"{key}MaxLength"))

    return _Values(
        meter_schedule=MeterSchedule(
            sampled=selections("MeterValuesSampledData"),
            aligned=selections("MeterValuesAlignedData"),
            stop_sampled=selections("StopTxnSampledData"),
            stop_aligned=selections("StopTxnAlignedData"),
            start=selections("StartTxnSampledData"),
            sample_interval_s=configuration.get_int("MeterValueSampleInterval"),
            aligned_interval_s=configuration.get_int("ClockAlignedDataInterval"),
        ),
        signed_readings=_signed_readings(),
        connection_timeout_s=float(configuration.get_int("ConnectionTimeOut")),
    )


def _signed_readings() -> SignedReadings:
    key = KeyPolicy(configuration.get("PublicKeyWithSignedMeterValue"))
    if not configuration.get_bool("SampledDataSignReadings"):
        return SignedReadings(in_stop=frozenset(), key=key)
    in_meter_values = contexts(configuration.get("MeterValuesSignatureContexts"))
    if configuration.get_bool("SampledDataSignStartedReadings"):
        in_meter_values |= {ReadingContext.TRANSACTION_BEGIN}
    in_stop = contexts(configuration.get("StopTransactionSignatureContexts"))
    return SignedReadings(in_stop=in_stop, in_meter_values=in_meter_values, key=key)


class Parameters:
    """The values in force."""

    def __init__(self, records: RecordStore) -> None:
        self._records = records
        self._values = _Values()

    @property
    def meter_schedule(self) -> MeterSchedule:
        """The measurands and intervals in force."""
        return self._values.meter_schedule

    @property
    def signed_readings(self) -> SignedReadings:
        """Which signed meter values the backend is told."""
        return self._values.signed_readings

    @property
    def connection_timeout_s(self) -> float:
        """How long a card waits for its car, and a car for its card; 0: for ever."""
        return self._values.connection_timeout_s

    async def load(self) -> None:
        """Read the values; raises DatabaseError."""
        self._values = await self._records.execute(_read)
