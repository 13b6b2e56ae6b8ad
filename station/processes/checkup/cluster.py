"""The station's place in a cluster, as its control loop tells it."""

from collections.abc import Iterator

from django.utils.translation import gettext as _

from station.domain.concerns import Severity, of_cluster
from station.processes.checkup.finding import Finding, problem, warning
from station.services import live
from station.ui import concern_words


def findings() -> Iterator[Finding]:
    """Say what is wrong with the cluster; nothing while it is off, or nobody is there to know."""
    hardware = live.hardware()
    if hardware is None or hardware.cluster is None or not hardware.cluster.enabled:
        return
    subject = _("Load management")
    found = tuple(of_cluster(hardware.cluster))
    for concern in found:
        report = problem if concern.severity is Severity.PROBLEM else warning
        yield report(subject, concern_words.title(concern), concern_words.advice(concern))
    if not found:
        yield Finding(subject=subject, text=f"{hardware.cluster.role}, {hardware.cluster.state}")
