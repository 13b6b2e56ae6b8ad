"""What is loaded before the processes are forked leaves nothing behind that belongs to one of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[4]
_CODE = """
import json, sys, threading
import django
django.setup()
from station.processes import preload
preload.preload()
from station.celery import app
unused = '''zeroconf loadmgmt.cluster.server loadmgmt.cluster.member_link loadmgmt.cluster.leader_link
    loadmgmt.cluster.discovery station.domain.cluster.leader station.domain.cluster.member
    hardware.runtime.cluster.leading pymodbus.server dbus_fast segno hardware.simulator.main'''.split()
print(json.dumps({
    "reactor": "twisted.internet.reactor" in sys.modules,
    "threads": threading.active_count(),
    "unused": [name for name in unused if name in sys.modules],
    "tasks": [name for name in app.tasks if not name.startswith("celery.")],
}))
"""


def test_there_is_no_reactor_no_thread_no_task_of_a_queue_and_nothing_that_is_switched_off(tmp_path):
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "station.settings",
        "STATION_DATA_DIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _CODE],
        cwd=_ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == {"reactor": False, "threads": 1, "tasks": [], "unused": []}
    assert done.stderr == ""
