"""OCPP-J 1.6 as a protocol of calls: frames, schemas, and the station's own calls with their answers."""
