"""The web config file: what it may say, and one line for whatever we would not do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exporter.errors import UsageError
from exporter.redaction import redact
from exporter.web.web_config import read_web_file

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.web.web_config import WebConfig

HASH = "$2y$10$" + "abcdefghijklmnopqrstu." + "A" * 31
TLS = "tls_server_config:\n  cert_file: a.crt\n  key_file: a.key\n"
PEM = "'-----BEGIN PRIVATE KEY----- MIIB'"
VERIFY = "  client_auth_type: RequireAndVerifyClientCert\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "web.yml"


def _config(path: Path, content: str) -> WebConfig:
    path.write_text(content)
    return read_web_file(path).config


def _complaint(path: Path, content: str) -> str:
    with pytest.raises(UsageError) as raised:
        _config(path, content)
    message = str(raised.value)
    assert len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize(
    "content",
    [
        "",
        "# nothing\n",
        "{}\n",
        "tls_server_config:\nhttp_server_config:\nbasic_auth_users:\nrate_limit:\n",
        "http_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: ''\n",
        "rate_limit: {interval: 0, burst: 0}\n",
    ],
)
def test_file_may_ask_for_nothing(path: Path, content: str) -> None:
    config = _config(path, content)
    assert config.tls_server_config is None
    assert config.basic_auth_users == {}
    assert config.http_server_config.headers.given == {}
    assert config.rate_limit.interval == 0


def test_all_that_is_supported_is_understood(path: Path) -> None:
    config = _config(
        path,
        TLS
        + VERIFY
        + "  client_ca_file: /etc/ca.crt\n"
        + "  client_allowed_sans: [prometheus]\n"
        + "  min_version: TLS12\n"
        + "  max_version: TLS13\n"
        + "  cipher_suites: [TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256]\n"
        + "  prefer_server_cipher_suites: false\n"
        + f"basic_auth_users: {{alice: {HASH}}}\n"
        + "http_server_config:\n"
        + "  headers:\n"
        + "    Content-Security-Policy: default-src 'none'\n"
        + "    X-Frame-Options: deny\n"
        + "    X-Content-Type-Options: nosniff\n"
        + "    X-XSS-Protection: '0'\n"
        + "    Strict-Transport-Security: max-age=60\n"
        + "rate_limit: {interval: 500ms, burst: 3}\n",
    )
    tls = config.tls_server_config
    assert tls is not None
    assert tls.client_allowed_sans == ("prometheus",)
    assert tls.cipher_suites == ("ECDHE-RSA-CHACHA20-POLY1305",)
    assert tls.prefer_server_cipher_suites is False
    assert config.basic_auth_users == {"alice": HASH}
    assert config.http_server_config.headers.given == {
        "Content-Security-Policy": "default-src 'none'",
        "X-Frame-Options": "deny",
        "X-Content-Type-Options": "nosniff",
        "X-XSS-Protection": "0",
        "Strict-Transport-Security": "max-age=60",
    }
    assert (config.rate_limit.interval, config.rate_limit.burst) == (0.5, 3)


@pytest.mark.parametrize(
    "content",
    [
        "http_server_config: {http2: true}\n",
        "http_server_config: {headers: {X-XSS-Protection: 1}}\n",
        TLS + "  cipher_suites: [TLS_AES_128_GCM_SHA256, TLS_RSA_WITH_AES_128_CBC_SHA]\n",
        TLS + "  cipher_suites: [TLS_CHACHA20_POLY1305_SHA256]\n",
        TLS + "  client_auth_type: VerifyClientCertIfGiven\n",
        TLS + "  client_auth_type: RequestClientCert\n",
        f"tls_server_config: {{cert: {PEM}, key: {PEM}}}\n",
        f"tls_server_config: {{cert: {PEM}, key_file: a.key}}\n",
    ],
)
def test_what_other_exporters_take_is_taken(path: Path, content: str) -> None:
    _config(path, content)


def test_key_in_the_file_is_shown_nowhere(path: Path) -> None:
    _config(path, f"tls_server_config: {{cert: {PEM}, key: {PEM}}}\n")
    assert "MIIB" not in redact(f"the key is {PEM}")


def test_relative_path_is_one_beside_the_file(path: Path) -> None:
    tls = _config(path, TLS + VERIFY + "  client_ca_file: /etc/ca.crt\n").tls_server_config
    assert tls is not None
    assert [str(each) for each in tls.files] == [
        str(path.parent / "a.crt"),
        str(path.parent / "a.key"),
        "/etc/ca.crt",
    ]


@pytest.mark.parametrize(
    ("content", "where", "remedy"),
    [
        ("tls_config: {}\n", ":1: tls_config: ", "unknown key"),
        (TLS + "  cert_files: x\n", ":4: tls_server_config.cert_files: ", "unknown key"),
        ("- a\n", ":1: ", "must hold `key: value` pairs"),
        ("rate_limit: 5\n", ":1: rate_limit: ", "must hold `key: value` pairs"),
        ("tls_server_config: {}\n", ":1: tls_server_config: ", "either `cert_file` or `cert`"),
        (TLS.replace("a.key", "''"), ":3: tls_server_config.key_file: ", "the path of a file"),
        (TLS + "  cert: x\n", ":4: tls_server_config.cert: ", "must be PEM; put a path into"),
        (TLS + f"  key: {PEM}\n", ":1: tls_server_config: ", "either `key_file` or `key`"),
        (TLS + "  curve_preferences: [X25519]\n", ":4: ", "not supported: the curves are those"),
        (TLS + "  min_version: TLS10\n", ":4: tls_server_config.min_version: ", "'TLS12' or 'TLS"),
        (
            TLS + "  min_version: TLS13\n  max_version: TLS12\n",
            ":1: tls_server_config: ",
            "`min_version` is above",
        ),
        (
            TLS + "  max_version: TLS12\n  cipher_suites: [TLS_AES_128_GCM_SHA256]\n",
            ":1: tls_server_config: ",
            "has none of TLS 1.2",
        ),
        (
            TLS + "  cipher_suites:\n  - TLS_RSA_WITH_RC4_128_SHA\n",
            ":5: tls_server_config.cipher_suites.0: ",
            "not supported; known are TLS_ECDHE_",
        ),
        (TLS + "  client_auth_type: RequireAnyClientCert\n", ":4: ", "'VerifyClientCertIfGiven'"),
        (TLS + VERIFY, ":1: tls_server_config: ", "needs `client_ca_file`"),
        (TLS + "  client_ca_file: ca\n", ":1: tls_server_config: ", "needs a `client_auth_type`"),
        (TLS + VERIFY + "  client_ca: a\n  client_ca_file: a\n", ":1: ", "either `client_ca` or"),
        (
            TLS + "  client_ca: a\n  client_auth_type: VerifyClientCertIfGiven\n"
            "  client_allowed_sans: [a]\n",
            ":1: tls_server_config: ",
            "needs `client_auth_type: RequireAndVerifyClientCert`",
        ),
        (
            "http_server_config:\n  headers:\n    Server: x\n",
            ":3: http_server_config.headers.Server: ",
            "unknown key",
        ),
        (
            "http_server_config:\n  headers:\n    X-Frame-Options: allow\n",
            ":3: http_server_config.headers.X-Frame-Options: ",
            "'deny', 'sameorigin'",
        ),
        (
            'http_server_config:\n  headers: {X-XSS-Protection: "0\\r\\nSet-Cookie: a"}\n',
            ":2: http_server_config.headers.X-XSS-Protection: ",
            "printable ASCII",
        ),
        ("basic_auth_users:\n  alice: secret\n", ":2: basic_auth_users.alice: ", "a bcrypt hash"),
        ("basic_auth_users:\n  alice:\n", ":2: basic_auth_users.alice: ", "must be text"),
        (f"basic_auth_users:\n  'a:b': {HASH}\n", ":2: basic_auth_users.a:b: ", "a colon"),
        ("rate_limit: {interval: 1s}\n", ":1: rate_limit: ", "every request is refused"),
        ("rate_limit: {interval: 5}\n", ":1: rate_limit.interval: ", "a number and a unit"),
        ("rate_limit: {interval: 1s, burst: -1}\n", ":1: rate_limit.burst: ", "greater than or"),
    ],
)
def test_what_we_would_not_do_is_told_with_file_line_and_key(
    path: Path, content: str, where: str, remedy: str
) -> None:
    message = _complaint(path, content)
    assert message.startswith(f"{path}{where}")
    assert remedy in message


@pytest.mark.parametrize(
    "text",
    [
        "",
        HASH[:-1],
        HASH + "A",
        HASH.replace("$10$", "$99$"),
        HASH.replace("$10$", "$03$"),
        HASH.replace("$2y$", "$1$"),
        HASH.replace("u.A", "u/A"),  # a salt of more than 128 bits
    ],
)
def test_hash_that_is_none_is_an_error_and_not_shown(path: Path, text: str) -> None:
    message = _complaint(path, f"basic_auth_users: {{alice: '{text}'}}\n")
    assert "must be a bcrypt hash" in message
    assert text == "" or text not in message


def test_hash_is_shown_nowhere(path: Path) -> None:
    _config(path, f"basic_auth_users: {{alice: {HASH}}}\n")
    assert HASH not in redact(f"user alice, hash {HASH}")


def test_file_that_cannot_be_read_is_told(path: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"^{path}: cannot be read: No such file"):
        read_web_file(path)
    with pytest.raises(UsageError, match=f"^{tmp_path}: cannot be read: Is a directory"):
        read_web_file(tmp_path)
    path.write_bytes(b"\xff")
    with pytest.raises(UsageError, match=f"^{path}: not UTF-8 text"):
        read_web_file(path)
