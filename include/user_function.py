"""Functions of a user's own, which rows name as `module:function`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from include.errors import ConfigError

PATTERN = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"


def user_function(package: str, name: str) -> Callable[..., Any]:
    """The function that a row names, of a module in the package for user code; `ConfigError` if there is none.

    What such a module has only imported cannot be named, or `from subprocess import run` would open more than is meant.
    """
    module_name, _, function_name = name.partition(":")
    full_name = f"{package}.{module_name}"
    try:
        module = import_module(full_name)
    except ModuleNotFoundError as error:
        if error.name is None or not full_name.startswith(error.name):
            raise
        raise ConfigError(f"there is no module {full_name}") from None
    function: Callable[..., Any] | None = getattr(module, function_name, None)
    if function is None or not callable(function):
        raise ConfigError(f"module {full_name} has no function {function_name}")
    home = str(getattr(function, "__module__", None))
    if not f"{home}.".startswith(f"{package}."):
        raise ConfigError(f"{function_name} of module {full_name} comes from {home}; name a function of {package}")
    return function
