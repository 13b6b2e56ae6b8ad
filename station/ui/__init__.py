"""How the station speaks to people: words, quantities, drawings."""
