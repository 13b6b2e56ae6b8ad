"""What devices are called that do not say it themselves: by their drivers, as people know them."""

from collections.abc import Mapping

DEVICE_NAMES: Mapping[str, str] = {
    "phoenix_ev_cc": "Phoenix Contact EV-CC-AC1-M3",
    "flashable_ev_cc": "EV-CC-AC1-M3",
    "mennekes_amtron": "MENNEKES AMTRON",
    "abl_evcc": "ABL EVCC2/3",
    "eastron_sdm630": "Eastron SDM630",
    "eastron_sdm72": "Eastron SDM72",
    "eastron_sdm72_v1": "Eastron SDM72 V1",
    "abb_b23": "ABB B23",
    "ocmf_meter": "OCMF",
    "sml": "SML",
    "modbus_io": "Modbus I/O",
    "elatec_twn4": "Elatec TWN4",
    "pn532": "NXP PN532",
    "stx_etx": "STX/ETX",
}
