"""How the station addresses people: words, quantities, charts."""
