"""Who may log in, where Airflow's simple auth manager decides: its users are in a setting, their passwords in a file.

Airflow would make up the passwords that are missing, and print them into its log; so none is ever missing.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from ipaddress import ip_address

from include.errors import ConfigError
from include.local.files import write_private
from include.local.home import Home

ADMIN = "admin"
USERS = "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"
_AUTH_MANAGER = "AIRFLOW__CORE__AUTH_MANAGER"
_ALL_ADMINS = "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS"
_NO = ("", "f", "false", "0")
_ROLES = ("viewer", "user", "op", "admin")


def with_admin(users: str) -> str:
    """The setting `name:role,name:role`, with `admin`, as whom ./millrace itself logs in, if it is not among them."""
    names = _names(users)
    return users if ADMIN in names else ",".join([f"{ADMIN}:admin", *filter(None, [users.strip()])])


def check_users(environment: Mapping[str, str], host: str) -> None:
    """`ConfigError` if the setting cannot be read, or makes everybody who can reach the host an admin."""
    _names(environment.get(USERS, ""))
    if environment.get(_ALL_ADMINS, "").strip().lower() not in _NO and not _is_loopback(host):
        raise ConfigError(
            f"{_ALL_ADMINS} makes an admin of everybody who reaches {host or 'any address of this machine'}; "
            "unset it, or have AIRFLOW__API__HOST be a loopback address"
        )


def are_in_fab(environment: Mapping[str, str]) -> bool:
    """Whether users are rows in the database: by our FAB auth manager or by FAB's own, as Airflow tells it as well."""
    return "FabAuthManager" in environment.get(_AUTH_MANAGER, "")


def write_passwords(home: Home, environment: Mapping[str, str], admin_password: str) -> None:
    """Give everybody in the setting a password for good, in a file that only its owner can read."""
    known = {**passwords(home), ADMIN: admin_password}
    names = _names(with_admin(environment.get(USERS, "")))
    write_private(home.passwords_file, json.dumps({name: known.get(name) or new_password() for name in names}))


def keep_admin_password(home: Home, password: str) -> None:
    """Have the file say what the admin's password is; nobody else's changes."""
    known = passwords(home)
    if known.get(ADMIN) != password:
        write_private(home.passwords_file, json.dumps({**known, ADMIN: password}))


def passwords(home: Home) -> dict[str, str]:
    """The passwords by user; none if nobody has any yet."""
    try:
        found = json.loads(home.passwords_file.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ConfigError(f"{home.passwords_file} is not JSON; mend it, or remove it for new passwords") from error
    return {str(name): str(password) for name, password in found.items()}


def new_password() -> str:
    """A password that nobody guesses."""
    return secrets.token_urlsafe(12)


def _names(users: str) -> list[str]:
    """The names in the setting, in its order."""
    names: list[str] = []
    for user in filter(None, map(str.strip, users.split(","))):
        name, _, rest = user.partition(":")
        role = rest.partition(":")[0]  # and, with teams, their names
        if not name or role.lower() not in _ROLES:
            raise ConfigError(f"{USERS}: write name:role,name:role with the roles {', '.join(_ROLES)}; not {user!r}")
        if name in names:
            raise ConfigError(f"{USERS}: {name!r} is in it twice")
        names.append(name)
    return names


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
