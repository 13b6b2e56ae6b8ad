"""The connection to the backend: a Channels worker around OcppConsumer."""

from station.processes.plan import Plan


def main(_plan: Plan) -> int:
    """Hold the connection until SIGTERM."""
    from ocpp_client import worker

    worker.main()
    return 0
