"""The station's part in a cluster: the loops that speak with the others, loaded only when it is switched on."""
