"""`manage.py doctor`: check the environment and say how to fix it."""

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import translation
from typing_extensions import override

from station.management.arguments import add_language
from station.processes import checkup
from station.processes.checkup import Level

_SIGNS = {Level.OK: "✓", Level.WARNING: "!", Level.PROBLEM: "✗"}


class Command(BaseCommand):
    """Ends with 1 when there is a problem; warnings alone end with 0."""

    help = "Check what the station needs, and say how to mend what is missing."
    requires_system_checks = ()

    @override
    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--data-dir", metavar="DIR", help="data directory (default: ./data)")
        add_language(parser)
        parser.add_argument("--json", action="store_true", help="print findings as JSON")

    @override
    def handle(self, *args: Any, **options: Any) -> None:
        with translation.override(options["lang"]):
            findings = []
            for finding in checkup.examine():
                findings.append(finding)
                if not options["json"]:
                    self._show(finding)
        if options["json"]:
            self.stdout.write(json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False))
        if any(finding.level is Level.PROBLEM for finding in findings):
            raise SystemExit(1)

    def _show(self, finding: checkup.Finding) -> None:
        self.stdout.write(f"{_SIGNS[finding.level]} {finding.subject}: {finding.text}")
        if finding.remedy:
            self.stdout.write(f"    → {finding.remedy}")
