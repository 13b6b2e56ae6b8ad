"""The configuration that the control loop follows, read at once and kept at hand."""

from dataclasses import dataclass

from hardware.runtime.records import RecordStore
from station.domain.meter_values import KeyPolicy, MeasurandSelection, parse_measurands
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
    """Which signed meter values the backend is told, and whether with the public key (OCA, Signed Meter Values)."""

    in_stop: bool = True
    at_start: bool = False
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
        signed_readings=SignedReadings(
            in_stop=configuration.get_bool("SampledDataSignReadings"),
            at_start=configuration.get_bool("SampledDataSignStartedReadings"),
            key=KeyPolicy(configuration.get("PublicKeyWithSignedMeterValue")),
        ),
        connection_timeout_s=float(configuration.get_int("ConnectionTimeOut")),
    )


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
