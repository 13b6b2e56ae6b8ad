"""What is known of the cluster when somebody changes its settings, whoever does and over whichever door."""

import socket
from collections.abc import Callable, Iterable, Sized
from typing import Protocol, cast

from django.conf import settings
from django.utils.module_loading import import_string

from station.domain.configuration import ClusterFacts, OtherStation
from station.domain.snapshot import ClusterSnapshot, called
from station.host import redis_server
from station.services import live

_MA_PER_A = 1_000
_ANSWERS_WITHIN_S = 1.0
# A slave in one of these states hears its master.
_HEARS = frozenset({"member", "joining"})


class Member(Protocol):
    """A station as a master keeps it."""

    @property
    def points(self) -> Sized:
        """Return the numbers of its charging points."""

    @property
    def rating(self) -> int:
        """Return the rated current of each, in mA."""

    @property
    def fallback(self) -> int:
        """Return what each may draw without a master, in mA."""


def known() -> ClusterFacts:
    """Return what the settings of the cluster are judged by."""
    hardware = live.hardware()
    cluster = hardware.cluster if hardware else None
    hears = cluster is not None and cluster.state in _HEARS
    return ClusterFacts(
        members=tuple(
            OtherStation(points=len(each.points), fallback_ma=min(each.fallback, each.rating)) for each in _members()
        ),
        neighbours=_neighbours(cluster) if cluster is not None and hears else (),
        neighbours_limit_a=cluster.limit_ma // _MA_PER_A
        if cluster is not None and hears and cluster.limit_ma
        else None,
        other_master=_other_master(cluster) if cluster is not None else "",
        has_server=_has_server(),
    )


def _members() -> Iterable[Member]:
    # Named in the settings, because the services stand below the application that keeps the members.
    return cast("Callable[[], Iterable[Member]]", import_string(settings.CLUSTER_MEMBERS))()


def _neighbours(cluster: ClusterSnapshot) -> tuple[OtherStation, ...]:
    return tuple(
        OtherStation(points=len(each.points), fallback_ma=min(each.fallback_ma, each.rating_ma))
        for each in cluster.stations
        if each.id != cluster.own_id
    )


def _other_master(cluster: ClusterSnapshot) -> str:
    if cluster.second_master is not None:
        return called(cluster.second_master.id, cluster.second_master.name)
    for found in cluster.found:
        is_another = found.role == "master" and found.same_cluster and found.id != cluster.own_id
        # The search remembers for minutes one that was switched off, and somebody may have to take its place.
        if is_another and _answers(found.address):
            return called(found.id, found.name)
    if cluster.state in _HEARS and cluster.master_id not in {"", cluster.own_id}:
        name = next((each.name for each in cluster.stations if each.id == cluster.master_id), "")
        return called(cluster.master_id, name)
    return ""


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWERS_WITHIN_S):
            return True
    except (OSError, ValueError):
        return False


def _has_server() -> bool:
    try:
        redis_server.choose(is_trial=False)
    except redis_server.RedisIsMissing:
        return False
    return True
