"""The secrets of one system: made once, kept in files that only their owner can read, the same after every restart."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import asdict, dataclass

from include.local.files import write_private
from include.local.home import Home
from include.local.users import keep_admin_password, new_password


@dataclass(frozen=True, slots=True)
class Keys:
    """`fernet_key` encrypts Airflow's connections; without it those in the database cannot be read again."""

    password: str
    fernet_key: str
    jwt_secret: str
    api_secret_key: str

    @classmethod
    def of(cls, home: Home) -> Keys:
        """The keys of this home, made now if it has none."""
        if home.keys_file.exists():
            keys = cls(**json.loads(home.keys_file.read_text()))
        else:
            keys = cls._new()
            write_private(home.keys_file, json.dumps(asdict(keys)))
        # Airflow's own format, beside ours: the login of its UI and API.
        keep_admin_password(home, keys.password)
        return keys

    @classmethod
    def _new(cls) -> Keys:
        return cls(
            password=new_password(),
            fernet_key=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            jwt_secret=secrets.token_urlsafe(48),
            api_secret_key=secrets.token_urlsafe(32),
        )
