"""Which hosts and ports a URL may name, and how."""


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("ftp://example.com/", "http://"),
        ("file:///etc/passwd", "http://"),
        ("example.com", "http://"),
        ("http:///path", "host"),
        ("http://exa mple.com/", "host"),
        ("http://%6c%6fcalhost/", "host"),
        ("http://user:secret@example.com/", "user and password"),
        ("http://user@example.com/", "user and password"),
        ("http://[::1/", "valid URL"),
        ("http://example.com:99999/", "valid URL"),
        ("http://" + "a" * 64 + ".com/", "cannot be sent"),
    ],
)
async def test_a_url_that_cannot_be_called_says_what_to_write(strict: Egress, url: str, hint: str) -> None:
    """A malformed URL is for good, and its message does not repeat it, for it may hold a password."""
    with pytest.raises(PermanentError, match=hint) as caught:
        await strict.request("GET", url, timeout_seconds=5)
    assert "secret" not in str(caught.value)
