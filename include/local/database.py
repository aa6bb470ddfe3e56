"""One database for Airflow and for Millrace: its address, as each driver wants it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit

from include.errors import ConfigError

NAME = "millrace"
_SCHEMES = ("postgresql", "postgres")


@dataclass(frozen=True, slots=True)
class Database:
    """`url` is plain: `postgresql://user:password@host:port/name?options`."""

    url: str

    @classmethod
    def parse(cls, url: str, variable: str = "DATABASE_URL") -> Database:
        """Accept what people write in the variable: `postgres://` as well, and a driver, which we choose ourselves."""
        parts = urlsplit(url)
        if parts.scheme.partition("+")[0] not in _SCHEMES or not parts.path.strip("/"):
            raise ConfigError(f"{variable} must be like postgresql://user:password@host:5432/database")
        return cls(parts._replace(scheme="postgresql").geturl())

    @property
    def for_airflow(self) -> str:
        return urlsplit(self.url)._replace(scheme="postgresql+psycopg2").geturl()

    @property
    def for_airflow_async(self) -> str:
        """asyncpg refuses options of libpq that it does not know, and has a name of its own for `sslmode`."""
        parts = urlsplit(self.url)
        options = [("ssl" if name == "sslmode" else name, value) for name, value in parse_qsl(parts.query)]
        known = [(name, value) for name, value in options if name in ("ssl", "host", "port", "user", "password")]
        return parts._replace(scheme="postgresql+asyncpg", query=urlencode(known)).geturl()
