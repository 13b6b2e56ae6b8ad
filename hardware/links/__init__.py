"""Serial ports: sending bytes to devices and getting their answers, with time-outs and reconnection."""
