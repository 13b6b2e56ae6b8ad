"""A private system bus and stand-ins for the services of a computer, written with dbus-fast.

    class Clock(ServiceInterface):
        def __init__(self) -> None:
            super().__init__("org.freedesktop.timedate1")

        @dbus_method()
        def SetTimezone(self, zone: DBusStr, interactive: DBusBool) -> None: ...

    def test_…(system_bus: SystemBus) -> None:
        system_bus.offer("org.freedesktop.timedate1", {"/org/freedesktop/timedate1": [Clock()]})

`DBUS_SYSTEM_BUS_ADDRESS` names the bus while a test runs (fixture `system_bus`), so the adapters find it and never the
bus of the desk. Stand-ins run in a thread with a loop of their own: `SystemBus.within` touches them from a test.
"""

import asyncio
import shutil
import subprocess
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import pytest

if TYPE_CHECKING:
    from dbus_fast.aio import MessageBus
    from dbus_fast.service import ServiceInterface

_Result = TypeVar("_Result")

ADDRESS = "DBUS_SYSTEM_BUS_ADDRESS"
LACKING = "" if shutil.which("dbus-daemon") else "dbus-daemon is not on this computer (Debian package dbus-daemon)"
needs_system_bus = pytest.mark.skipif(bool(LACKING), reason=LACKING)
PERMISSION_DENIED = "org.freedesktop.DBus.Error.AccessDenied"
# Of a thread or daemon that never starts; nothing waits this long where all is well.
_PATIENCE_S = 60
_CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true"/>
    <allow receive_type="method_call"/>
    <allow receive_type="signal"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
  </policy>
</busconfig>
"""


class SystemBus:
    """A `dbus-daemon` of this test, and the services it offers there."""

    def __init__(self, directory: Path) -> None:
        self._configuration, socket = directory / "bus.conf", directory / "bus.socket"
        self.address = f"unix:path={socket}"
        self._configuration.write_text(_CONFIGURATION.format(socket=socket))
        self._offered: dict[str, MessageBus] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stand-ins", daemon=True)

    def __enter__(self) -> Self:
        command = ["dbus-daemon", f"--config-file={self._configuration}", "--nofork", "--nopidfile", "--print-address"]
        self._daemon = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        # It prints the address when it listens.
        assert self._daemon.stdout is not None
        assert self._daemon.stdout.readline().startswith("unix:"), "dbus-daemon has not started"
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._offered):
            self.withdraw(name)
        self.within(self._end)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE_S)
        self._loop.close()
        self._daemon.kill()
        self._daemon.wait()
        self._daemon.stdout.close()

    async def _end(self) -> None:
        # A stand-in that hangs still waits for something.
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    def offer(self, name: str, objects: "Mapping[str, Sequence[ServiceInterface]]") -> None:
        """Let a service of this name appear, with its interfaces at their paths."""
        self._offered[name] = self.within(lambda: self._offer(name, objects))

    async def _offer(self, name: str, objects: "Mapping[str, Sequence[ServiceInterface]]") -> "MessageBus":
        from dbus_fast.aio import MessageBus

        connection = await MessageBus(bus_address=self.address).connect()
        for path, interfaces in objects.items():
            for interface in interfaces:
                connection.export(path, interface)
        await connection.request_name(name)
        return connection

    def withdraw(self, name: str) -> None:
        """Let a service disappear, as if it had ended."""
        connection = self._offered.pop(name)

        async def leave() -> None:
            connection.disconnect()
            await connection.wait_for_disconnect()

        self.within(leave)

    def connection(self, name: str) -> "MessageBus":
        """Return the connection of a service; use it `within` its loop only, for instance to export more objects."""
        return self._offered[name]

    def within(self, work: Callable[[], Coroutine[Any, Any, _Result]]) -> _Result:
        """Do something in the loop of the stand-ins, for instance emit a signal, and return what it returns."""
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(_PATIENCE_S)
