"""The demo backend as a process: python -m ocpp_client.demo_backend --listen 127.0.0.1:8887 --state-file FILE."""

import argparse
import asyncio
import logging
from pathlib import Path

from ocpp_client.demo_backend.central import run


def main() -> None:
    """Read the command line and serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="demo_backend")
    parser.add_argument("--listen", metavar="HOST:PORT", default="127.0.0.1:8887")
    parser.add_argument("--state-file", type=Path, required=True)
    arguments = parser.parse_args()
    host, _, port = arguments.listen.rpartition(":")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # One line per connection is ours; the library's own say the same once more.
    logging.getLogger("websockets").setLevel(logging.WARNING)
    asyncio.run(run(host.strip("[]"), int(port), arguments.state_file))


if __name__ == "__main__":
    main()
