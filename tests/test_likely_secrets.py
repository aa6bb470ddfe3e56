"""What looks like a secret is blotted out of texts, and what does not is left for people to read."""

from __future__ import annotations

from time import process_time
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.shifts.likely_secrets import without_likely_secrets

TOKEN = "aB3dE5gH7jK9mN1pQ3sT5v"
BLOTTED = {
    "https://h/a?token=abc&x=1": "https://h/a?token=***&x=1",
    "https://h/a?X-Amz-Signature=abc&X-Amz-Date=1": "https://h/a?X-Amz-Signature=***&X-Amz-Date=1",
    f"https://h/?q={TOKEN}": "https://h/?q=***",
    f"https://h/?{TOKEN}": "https://h/?***",
    "https://ann:pw@h:8443/x#access_token=a": "https://***@h:8443/x",
    "https://h/?next=https%3A%2F%2Fu%3Apw%40h%2F%3Ftoken%3Dabc": "https://h/?next=***",
    f"https://hooks.slack.com/services/T00/B00/{'X' * 24}": "https://hooks.slack.com/services/T00/B00/***",
    "https://discord.com/api/webhooks/12345678901/aBcD_efG-hij1234567890abcdefgh": "https://discord.com/api/webhooks/12345678901/***",
    "https://hc-ping.com/550e8400-e29b-41d4-a716-446655440000": "https://hc-ping.com/***",
    "https://api.telegram.org/bot123456:AAEhBOweik6ad9r_QXMENQjcrGbqCr4K/send": "https://api.telegram.org/***/send",
    "https://ann:pw@[::1/": "https://***",
    "curl -u ann:pw https://h/": "curl -u *** https://h/",
    "curl --user=ann:pw https://u:p@h/?sig=1": "curl --user=*** https://***@h/?sig=***",
    "-H 'Authorization: Bearer abc' -H \"X-Api-Key: a\"": "-H 'Authorization: Bearer ***' -H \"X-Api-Key: ***\"",
    "PGPASSWORD=abc psql --password def": "PGPASSWORD=*** psql --password ***",
    "psql postgresql://ann:pw@h/db": "psql postgresql://***@h/db",
    "alter role ann password 'abc'": "alter role ann password ***",
    "select 1 from t where token='abc'": "select 1 from t where token=***",
    '{"client_secret": "a b", "n": 1}': '{"client_secret": ***, "n": 1}',
    "Password: abc": "Password: ***",
    "-H 'Cookie: a=b; c=d' -H 'X-Custom-Key: a b'": "-H 'Cookie: ***' -H 'X-Custom-Key: ***'",
    r'''-d "{\"password\": \"a b\", \"n\": 1}"''': r'''-d "{\"password\": ***, \"n\": 1}"''',
    r"""{"password": "a\"b", "n": 1}""": '{"password": ***, "n": 1}',
    '{"password": "abc de': '{"password": ***',
    "--data 'note=token=abc&n=1'": "--data 'note=token=***&n=1'",
    'note: "password=abc"': 'note: "password=***"',
    "curl --user ann:'a b' x": "curl --user *** x",
    "https://h/?a=" * 400: "https://h/?a=***",
}
PLAIN = (
    "https://h/heartbeat-production-eu1/2026-01-01-final?from=2026-01-01T00:00:00Z&next_page_token=7",
    "https://search.example.com:9200/orders/_doc/job_7_1767225600000000",
    "https://h/Daily%20Report%20Europe?subject=Daily+report+for+Europe",
    "http://[2001:db8::1]:8080/x?a=&b&=c&&",
    "select password, token from users where id = 7",
    "backup --user ann --key-file /etc/key -u 1000",
    "MONKEY=1 make -j2 TURKEY=x",
    "ann@example.com, Bob <bob@example.com>",
    "",
)


@pytest.mark.parametrize(("text", "expected"), BLOTTED.items())
def test_secrets_are_blotted_out(text: str, expected: str) -> None:
    """By their name, or in a URL by their looks; once that is done, there is nothing left to do."""
    assert without_likely_secrets(text) == expected
    assert without_likely_secrets(expected) == expected


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_no_secret_stays(text: str) -> None:
    """Words, numbers, dates, names and addresses can be read."""
    assert without_likely_secrets(text) == text


PIECES = ("a", "a-", "-u", "a ", "a:", 'a:"', "a 'b", "a://b ", "a.b+c", "http://h/?a=", "\\\\", " ")


@pytest.mark.parametrize("piece", PIECES)
def test_a_long_text_is_looked_at_in_passing(piece: str) -> None:
    """Four times as much takes about four times as long, whatever it is made of: it keeps nobody waiting."""

    def seconds(length: int) -> float:
        text = (piece * length)[:length] + "://"
        began = process_time()
        without_likely_secrets(text)
        return process_time() - began

    assert seconds(16_000) < 8 * seconds(4_000) + 0.5


@given(st.text(max_size=60), st.text(max_size=60), st.sampled_from(["", "https://", " ", "'", "?a="]))
def test_anything_can_be_looked_at(before: str, after: str, between: str) -> None:
    """No text is too odd."""
    assert isinstance(without_likely_secrets(before + between + after), str)


@given(st.text("abcXYZ0189-_ &=+%/?#é", min_size=4, max_size=40))
def test_what_a_query_calls_a_secret_never_stays(secret: str) -> None:
    """Whatever characters are in it."""
    shown = without_likely_secrets(f"https://example.com/?n=1&api_key={quote_plus(secret)}&m=2")
    assert shown == "https://example.com/?n=1&api_key=***&m=2"
