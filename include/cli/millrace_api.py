"""Our own REST API, as far as the commands need it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from include.cli.airflow_api import AirflowApi, login
from include.cli.unreachable import unreachable
from include.documents.invalid import InvalidDocumentError
from include.errors import ConfigError, RefusedError, RetryableError

if TYPE_CHECKING:
    import requests

_PATH = "/millrace/api/v1"
_TIMEOUT = (5, 300)  # seconds to connect, and to answer: a whole configuration takes its time
_MOST_SHOWN = 200


class MillraceApi:
    """What is below an address of the API, by a session that is logged in."""

    def __init__(self, session: requests.Session, url: str) -> None:
        self._session = session
        self._url = url

    def ask(self, method: str, path: str, body: object = None, params: Any = None) -> dict[str, Any]:
        """The document that is answered; what is refused is raised as if it had been refused here."""
        import requests

        try:
            response = self._session.request(method, self._url + path, json=body, params=params, timeout=_TIMEOUT)
            answer = response.json()
        except requests.JSONDecodeError as error:
            raise RetryableError(f"{self._url}{path} answered {response.status_code}, without JSON") from error
        except requests.RequestException as error:
            raise RetryableError(unreachable(self._url, error)) from error
        if not isinstance(answer, dict):
            raise ConfigError(f"{self._url} is not Millrace's address: its answer is no object")
        if response.ok:
            return answer
        raise _refusal(self._url, response.status_code, answer)


@contextmanager
def millrace_api() -> Iterator[MillraceApi]:
    """The API of the system in use, logged in."""
    import requests

    who = login()
    with requests.Session() as session:
        session.trust_env = not who.is_local  # a proxy has no part in what stays on this machine
        AirflowApi(session, who.url).log_in(who.user, who.password)
        yield MillraceApi(session, who.url + _PATH)


def _refusal(url: str, status: int, answer: dict[str, Any]) -> Exception:
    said = str(answer.get("detail", answer))
    if isinstance(answer.get("errors"), list):
        return InvalidDocumentError([(str(error["place"]), str(error["detail"])) for error in answer["errors"]])
    if status >= 500:
        return RetryableError(f"{url} answered {status}: {said}")
    if status == 404:
        return ConfigError(f"{url} is not Millrace's address: {said[:_MOST_SHOWN]}")
    return RefusedError(status, said)
