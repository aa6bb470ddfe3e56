"""Why an address did not answer, in a sentence; not in the words of the libraries in between."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import requests

_IS_IT_UP = "check the URL, and whether the system is up (`./millrace status`)"
_CHECK_URL = "check the URL"


def unreachable(url: str, error: requests.RequestException) -> str:
    """That `url` cannot be reached, why, and what to do."""
    reason, advice = _reason(error)
    return f"{url} cannot be reached: {reason}; {advice}"


def _reason(error: requests.RequestException) -> tuple[str, str]:
    import requests

    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.MissingSchema):
        return "it is not a URL", "write http://host:port, or https://host"
    if isinstance(error, requests.exceptions.InvalidSchema):
        return "it begins neither with http:// nor with https://", _CHECK_URL
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy does not let it through", "check HTTP_PROXY and HTTPS_PROXY, or name the host in NO_PROXY"
    if isinstance(error, requests.Timeout):
        return "timed out", _IS_IT_UP
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"its certificate is not trusted ({cause.verify_message})",
                "check the URL, or have REQUESTS_CA_BUNDLE name the file of its CA",
            )
        if isinstance(cause, ssl.SSLError):
            return "it does not speak TLS as we do", "check the URL: is it http, and not https?"
        if isinstance(cause, socket.gaierror):
            return "name not found", _CHECK_URL
        if isinstance(cause, ConnectionRefusedError):
            return "connection refused", _IS_IT_UP
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower(), _IS_IT_UP
    return "the connection broke off", _IS_IT_UP


def _causes(error: BaseException) -> Iterator[BaseException]:
    """What was raised below the error, down to what the operating system said."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
