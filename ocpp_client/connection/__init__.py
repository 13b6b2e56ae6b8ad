"""The connection to the backend: kept up, registered, watched and told of."""
