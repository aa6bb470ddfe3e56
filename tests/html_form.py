"""Forms of a page as a browser would send them, as they are."""

from __future__ import annotations

from html import unescape
from html.parser import HTMLParser

from include.ui.schema_form import field_id


class _Reader(HTMLParser):
    """Collects the fields of the form with that id, in the order of the page."""

    def __init__(self, form_id: str) -> None:
        super().__init__()
        self.fields: dict[str, list[str]] = {}
        self._form_id = form_id
        self._is_inside = False
        self._text: tuple[str, list[str]] | None = None
        self._select: tuple[str, list[tuple[str | None, bool]]] | None = None
        self._option: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value if value is not None else "" for name, value in attrs}
        name = given.get("name", "")
        if tag == "form":
            self._is_inside = given.get("id") == self._form_id
        elif not self._is_inside:
            return
        elif tag == "input" and name:
            if given.get("type") not in ("checkbox", "radio") or "checked" in given:
                self._add(name, given.get("value", "").replace("\r", "").replace("\n", ""))
        elif tag == "textarea":
            self._text = (name, [])
        elif tag == "select":
            self._select = (name, [])
        elif tag == "option" and self._select is not None:
            self._select[1].append((given.get("value"), "selected" in given))
            self._option = []

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text[1].append(data)
        elif self._option is not None:
            self._option.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._is_inside = False
        elif tag == "textarea" and self._text is not None:
            name, parts = self._text
            text = "".join(parts).replace("\r\n", "\n").removeprefix("\n")
            self._add(name, text.replace("\n", "\r\n"))
            self._text = None
        elif tag == "option" and self._option is not None and self._select is not None:
            value, is_selected = self._select[1].pop()
            self._select[1].append(("".join(self._option) if value is None else value, is_selected))
            self._option = None
        elif tag == "select" and self._select is not None:
            name, options = self._select
            chosen = [value for value, is_selected in options if is_selected] or [value for value, _ in options[:1]]
            self._add(name, chosen[-1] or "")
            self._select = None

    def _add(self, name: str, value: str) -> None:
        self.fields.setdefault(name, []).append(value)


def form_of(page: str, form_id: str) -> dict[str, list[str]]:
    """What the form would send if nobody touched it; a button is not pressed."""
    reader = _Reader(form_id)
    reader.feed(page)
    assert reader.fields, f"the page has no form {form_id!r}"
    return reader.fields


def wrong_at(page: str, field: str) -> str:
    """What the page says to be wrong with that field; empty if nothing is."""
    return unescape(page.partition(f'id="{field_id(field)}-wrong">')[2].partition("</p>")[0])
