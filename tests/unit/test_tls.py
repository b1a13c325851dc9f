"""TLS as clients meet it: real handshakes, with certificates that change meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from exporter.errors import UsageError
from exporter.web.connections import ConnectionLimits
from exporter.web.routes import Health, build_app
from exporter.web.server import bind, serving
from exporter.web.web_files import WebFiles, load_web_files
from tests.support.certificates import Authority
from tests.support.components import assemble
from tests.support.observers import HANG_SECONDS, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

REQUEST = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
PATIENT = ConnectionLimits(patience_seconds=60)
"""For a client that says nothing for a while, however long it is held up."""
VERIFY = "client_ca_file: clients.crt\nclient_auth_type: RequireAndVerifyClientCert\n"


@dataclass
class Site:
    """A folder with a web config file and what it names."""

    folder: Path
    authority: Authority = field(default_factory=Authority)
    clients: Authority = field(default_factory=lambda: Authority("Authority of clients"))

    def __post_init__(self) -> None:
        self.renew()
        (self.folder / "clients.crt").write_text(self.clients.pem)
        self.configure()

    @property
    def file(self) -> Path:
        return self.folder / "web.yml"

    def renew(self) -> int:
        """Write a new certificate; return its serial number."""
        certificate = self.authority.issue()
        certificate.write(self.folder)
        return certificate.serial

    def configure(self, more: str = "") -> None:
        lines = ["cert_file: server.crt", "key_file: server.key", *more.splitlines()]
        self.file.write_text("tls_server_config:\n" + "".join(f"  {line}\n" for line in lines))

    def client(self, *names: x509.GeneralName) -> ssl.SSLContext:
        """Return how a client speaks that has a certificate with these names."""
        certificate = self.clients.issue(*names)
        return self.authority.client(certificate.write(self.folder, "client"))

    def complaint(self) -> str:
        with pytest.raises(UsageError) as raised:
            load_web_files(self.file)
        message = str(raised.value)
        assert len(message.splitlines()) == 1
        return message


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@dataclass(frozen=True)
class Running:
    port: int
    files: WebFiles

    async def connect(
        self, tls: ssl.SSLContext
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with asyncio.timeout(HANG_SECONDS):
            return await asyncio.open_connection(
                "127.0.0.1", self.port, ssl=tls, server_hostname="localhost"
            )

    async def ask(self, tls: ssl.SSLContext) -> Seen:
        """Ask for the health, and return what was seen; an error if there was no answer."""
        reader, writer = await self.connect(tls)
        try:
            secured: ssl.SSLObject = writer.get_extra_info("ssl_object")
            writer.write(REQUEST)
            async with asyncio.timeout(HANG_SECONDS):
                answer = await reader.read()
            if not answer.startswith(b"HTTP/1.1 200 "):
                raise ConnectionError(f"answered {answer!r}")
            certificate = secured.getpeercert(binary_form=True)
            assert certificate
            cipher = secured.cipher()
            return Seen(
                x509.load_der_x509_certificate(certificate).serial_number,
                secured.version(),
                cipher[0] if cipher else None,
            )
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def answers(self, tls: ssl.SSLContext) -> bool:
        """Return whether there is an answer."""
        try:
            await self.ask(tls)
        except OSError:
            return False
        return True


@dataclass(frozen=True)
class Seen:
    """The certificate's serial number, the version and the cipher of a connection."""

    serial: int
    version: str | None
    cipher: str | None


@contextlib.asynccontextmanager
async def _running(site: Site, limits: ConnectionLimits | None = None) -> AsyncIterator[Running]:
    parts = assemble(site.folder, [])
    files = load_web_files(site.file)
    assert files.tls
    app = build_app(
        parts.exposition,
        Health(lambda: True, lambda: True),
        parts.database_pages,
        files.web_config,
    )
    with bind("127.0.0.1:0") as listener:
        async with serving(app, listener, files.tls.read, limits):
            yield Running(listener.getsockname()[1], files)


def _only(client: ssl.SSLContext, version: ssl.TLSVersion) -> ssl.SSLContext:
    client.minimum_version = client.maximum_version = version
    return client


@pytest.mark.parametrize(
    ("version", "name"),
    [(ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")],
)
async def test_both_versions_are_spoken(site: Site, version: ssl.TLSVersion, name: str) -> None:
    async with _running(site) as running:
        seen = await running.ask(_only(site.authority.client(), version))
    assert seen.version == name


@pytest.mark.parametrize(
    ("limit", "spoken", "refused"),
    [
        ("min_version: TLS13", ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2),
        ("max_version: TLS12", ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3),
    ],
)
async def test_version_outside_the_limits_is_refused(
    site: Site, limit: str, spoken: ssl.TLSVersion, refused: ssl.TLSVersion
) -> None:
    site.configure(limit)
    async with _running(site) as running:
        assert await running.answers(_only(site.authority.client(), spoken))
        assert not await running.answers(_only(site.authority.client(), refused))


async def test_suites_that_are_not_listed_are_refused(site: Site) -> None:
    site.configure("cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]")
    async with _running(site) as running:
        client = _only(site.authority.client(), ssl.TLSVersion.TLSv1_2)
        assert (await running.ask(client)).cipher == "ECDHE-ECDSA-AES256-GCM-SHA384"
        client.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        assert not await running.answers(client)


@pytest.mark.parametrize("prefers", [True, False])
async def test_server_or_client_prefers_a_suite(site: Site, prefers: bool) -> None:
    names = ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]
    site.configure(
        f"cipher_suites: [{', '.join(names)}]\n"
        f"prefer_server_cipher_suites: {'true' if prefers else 'false'}"
    )
    client = _only(site.authority.client(), ssl.TLSVersion.TLSv1_2)
    client.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384")
    async with _running(site) as running:
        cipher = (await running.ask(client)).cipher
    assert cipher == f"ECDHE-ECDSA-AES{256 if prefers else 128}-GCM-SHA{384 if prefers else 256}"


async def test_rotated_certificate_is_that_of_the_next_handshake(site: Site) -> None:
    async with _running(site, PATIENT) as running:
        client = site.authority.client()
        reader, writer = await running.connect(client)
        for _ in range(3):
            serial = site.renew()
            assert (await running.ask(client)).serial == serial
        writer.write(REQUEST)  # a connection from before goes on
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        writer.close()


@pytest.mark.parametrize(
    ("name", "content", "remedy"),
    [
        ("server.crt", "", "no certificate and key in PEM form"),
        ("server.crt", None, "server.crt: cannot be read: No such file or directory"),
        ("server.key", "nonsense", "no certificate and key in PEM form"),
        ("server.key", "other", "server.key: is not the key of "),
        ("server.key", "encrypted", "server.key: is encrypted; give one without a password"),
        ("clients.crt", "nonsense", "clients.crt holds no certificate in PEM form"),
        ("clients.crt", "é", "clients.crt holds no certificate in PEM form"),
    ],
)
async def test_broken_file_is_told_at_the_start_and_refused_later(
    site: Site, name: str, content: str | None, remedy: str
) -> None:
    site.configure(VERIFY)
    client = site.client()
    path = site.folder / name
    good = path.read_bytes()
    made = {
        "other": site.authority.issue().key.decode(),
        "encrypted": site.authority.issue(password=b"secret").key.decode(),
    }
    async with _running(site) as running:
        before = await running.ask(client)
        if content is None:
            path.unlink()
        else:
            path.write_text(made.get(content, content))
        assert (await running.ask(client)).serial == before.serial
        assert running.files.tls
        assert remedy in (running.files.tls.problem or "")
        assert running.files.config.problem is None
        assert remedy in site.complaint()
        assert site.complaint().startswith(f"{site.file}:")
        path.write_bytes(good)
        assert (await running.ask(client)).serial == before.serial
        assert running.files.tls.problem is None


async def test_change_of_the_config_is_that_of_the_next_handshake(site: Site) -> None:
    async with _running(site) as running:
        assert await running.answers(site.authority.client())
        site.configure(VERIFY)
        assert not await running.answers(site.authority.client())
        assert await running.answers(site.client())


@pytest.mark.parametrize(
    ("content", "problem"), [("", "TLS is on until"), ("tls_server_config: {", "not YAML")]
)
async def test_tls_is_not_lost_with_the_config(site: Site, content: str, problem: str) -> None:
    async with _running(site) as running:
        site.file.write_text(content)
        assert await running.answers(site.authority.client())
        assert problem in (running.files.config.problem or "")


def test_tls_is_not_switched_on_while_running(site: Site) -> None:
    site.file.write_text("")
    files = load_web_files(site.file)
    site.configure()
    files.config.read()
    assert files.tls is None
    assert "TLS is off until the exporter is restarted" in (files.config.problem or "")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("policy", "without", "stranger"),
    [
        ("RequireAndVerifyClientCert", False, False),
        ("VerifyClientCertIfGiven", True, False),
        (None, True, True),
    ],
)
async def test_client_certificate_is_asked_for(
    site: Site, version: ssl.TLSVersion, policy: str | None, without: bool, stranger: bool
) -> None:
    if policy:
        site.configure(f"client_auth_type: {policy}\nclient_ca_file: clients.crt")
    certificate = Authority("Stranger").issue().write(site.folder, "stranger")
    async with _running(site) as running:
        assert await running.answers(_only(site.client(), version))
        assert await running.answers(_only(site.authority.client(), version)) is without
        stranger_client = _only(site.authority.client(certificate), version)
        assert await running.answers(stranger_client) is stranger


async def test_certificate_and_key_may_stand_in_the_config_itself(site: Site) -> None:
    lines = ["tls_server_config:"]
    for key, name in (("cert", "server.crt"), ("key", "server.key")):
        text = (site.folder / name).read_text()
        lines += [f"  {key}: |", *(f"    {line}" for line in text.splitlines())]
    site.file.write_text("\n".join(lines) + "\n")
    (site.folder / "server.key").unlink()
    async with _running(site) as running:
        assert await running.answers(site.authority.client())


async def test_only_suites_of_the_new_version_leave_no_old_one(site: Site) -> None:
    site.configure("cipher_suites: [TLS_AES_256_GCM_SHA384]")
    async with _running(site) as running:
        client = site.authority.client()
        assert await running.answers(_only(client, ssl.TLSVersion.TLSv1_3))
        assert not await running.answers(_only(client, ssl.TLSVersion.TLSv1_2))


async def test_without_an_authority_of_clients_those_of_the_system_count(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(site.folder / "clients.crt"))
    site.configure("client_auth_type: VerifyClientCertIfGiven")
    stranger = Authority("Stranger").issue().write(site.folder, "stranger")
    async with _running(site) as running:
        assert await running.answers(site.client())
        assert await running.answers(site.authority.client())
        assert not await running.answers(site.authority.client(stranger))


async def test_authority_of_clients_may_stand_in_the_config_itself(site: Site) -> None:
    pem = "\n".join(f"    {line}" for line in site.clients.pem.splitlines())
    site.configure(f"client_auth_type: RequireAndVerifyClientCert\nclient_ca: |\n{pem}")
    async with _running(site) as running:
        assert await running.answers(site.client())
        assert not await running.answers(site.authority.client())


NAMES = {
    "prometheus.example.org": x509.DNSName("prometheus.example.org"),
    "ops@example.org": x509.RFC822Name("ops@example.org"),
    "10.0.0.7": x509.IPAddress(ipaddress.ip_address("10.0.0.7")),
    "2001:db8::1": x509.IPAddress(ipaddress.ip_address("2001:db8::1")),
    "spiffe://example.org/prometheus": x509.UniformResourceIdentifier(
        "spiffe://example.org/prometheus"
    ),
}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("name", NAMES)
async def test_client_must_bear_an_allowed_name(
    site: Site, version: ssl.TLSVersion, name: str
) -> None:
    site.configure(VERIFY + f"client_allowed_sans: ['{name}']")
    other = x509.DNSName("sub.prometheus.example.org")
    async with _running(site) as running:
        assert await running.answers(_only(site.client(other, NAMES[name]), version))
        assert not await running.answers(_only(site.client(other), version))


async def test_no_name_is_allowed_by_an_empty_list(site: Site) -> None:
    site.configure(VERIFY + "client_allowed_sans: []")
    async with _running(site) as running:
        assert not await running.answers(site.client())


async def test_silent_client_blocks_nobody_and_is_hung_up_on(
    site: Site, skip_seconds: Callable[[float], None]
) -> None:
    async with _running(site, PATIENT) as running:
        silent = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(5)]
        reader, writer = await running.connect(site.authority.client())  # silent after a handshake
        assert await running.answers(site.authority.client())
        rest = asyncio.gather(
            reader.read(), *(each.read() for each, _ in silent), return_exceptions=True
        )

        def are_hung_up_on() -> bool:
            skip_seconds(PATIENT.patience_seconds)
            return rest.done()

        await until("the server hangs up", are_hung_up_on)
        first, *others = await rest
        assert first == b""
        assert all(each == b"" or isinstance(each, ConnectionResetError) for each in others)
        for _, each_writer in [*silent, (reader, writer)]:
            each_writer.close()


async def test_plain_http_gets_no_answer(site: Site) -> None:
    async with _running(site) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(REQUEST)
        with contextlib.suppress(ConnectionResetError):
            assert b"200" not in await reader.read()
        writer.close()
