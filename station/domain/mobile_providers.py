"""Mobile providers whose access point is publicly known; what their SIM cards need is filled in by choosing one.

One line each: name of the entry, country, provider, APN, user name, password, authentication. User name and password
are the same for all customers of a provider; what is personal belongs to the entry “custom”.
"""

from dataclasses import dataclass

_TABLE = """
de-telekom     | DE | Telekom           | internet.telekom      | telekom       | tm         | chap
de-telekom-iot | DE | Telekom IoT (M2M) | internet.m2mportal.de | m2m           | sim        | chap
de-vodafone    | DE | Vodafone          | web.vodafone.de       |               |            | none
de-o2          | DE | O2 (Telefónica)   | internet              |               |            | none
de-congstar    | DE | congstar          | internet.telekom      | congstar      | cs         | chap
at-a1          | AT | A1                | a1.net                | ppp@a1plus.at | ppp        | chap_or_pap
at-magenta     | AT | Magenta           | internet.t-mobile.at  |               |            | none
at-drei        | AT | Drei              | drei.at               |               |            | none
ch-swisscom    | CH | Swisscom          | gprs.swisscom.ch      |               |            | none
ch-sunrise     | CH | Sunrise           | internet              |               |            | none
ch-salt        | CH | Salt              | internet              |               |            | none
be-proximus    | BE | Proximus          | internet.proximus.be  |               |            | none
be-orange      | BE | Orange            | mworld.be             |               |            | none
cz-o2          | CZ | O2                | internet              |               |            | none
cz-tmobile     | CZ | T-Mobile          | internet.t-mobile.cz  |               |            | none
cz-vodafone    | CZ | Vodafone          | internet              |               |            | none
dk-tdc         | DK | TDC               | internet              |               |            | none
dk-3           | DK | 3                 | data.tre.dk           |               |            | none
es-movistar    | ES | Movistar          | telefonica.es         | telefonica    | telefonica | chap_or_pap
fr-orange      | FR | Orange            | orange                | orange        | orange     | chap_or_pap
fr-free        | FR | Free              | free                  |               |            | none
fr-sfr         | FR | SFR               | sl2sfr                |               |            | none
it-tim         | IT | TIM               | ibox.tim.it           |               |            | none
it-windtre     | IT | WindTre           | internet.it           |               |            | none
lu-post        | LU | POST              | web.pt.lu             |               |            | none
nl-kpn         | NL | KPN               | internet              |               |            | none
nl-vodafone    | NL | Vodafone          | live.vodafone.com     |               |            | none
pl-orange      | PL | Orange            | internet              | internet      | internet   | chap_or_pap
pl-play        | PL | Play              | internet              |               |            | none
pl-plus        | PL | Plus              | internet              |               |            | none
pl-tmobile     | PL | T-Mobile          | internet              |               |            | none
se-telia       | SE | Telia             | online.telia.se       |               |            | none
se-tele2       | SE | Tele2             | internet.tele2.se     |               |            | none
se-3           | SE | 3                 | data.tre.se           |               |            | none
iot-1nce       |    | 1NCE              | iot.1nce.net          |               |            | none
iot-emnify     |    | emnify            | em                    |               |            | none
"""


@dataclass(frozen=True, kw_only=True)
class Provider:
    """One entry; `country` is empty where the cards hold everywhere."""

    id: str
    country: str
    name: str
    apn: str
    user: str
    password: str
    authentication: str

    @property
    def label(self) -> str:
        """Return the entry as a list shows it."""
        return f"{self.country} – {self.name}" if self.country else self.name


def _read(line: str) -> Provider:
    entry, country, name, apn, user, password, authentication = (cell.strip() for cell in line.split("|"))
    return Provider(
        id=entry, country=country, name=name, apn=apn, user=user, password=password, authentication=authentication
    )


PROVIDERS: tuple[Provider, ...] = tuple(_read(line) for line in _TABLE.strip().splitlines())


def provider(entry: str) -> Provider | None:
    """Find an entry by its name."""
    return next((each for each in PROVIDERS if each.id == entry), None)
