"""The file of `--web.config.file` and the files that it names, reloaded when they change."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from exporter.errors import UsageError
from exporter.reload import Reloaded, stamp_of
from exporter.web.tls import ServerTls, make_tls
from exporter.web.web_config import TlsConfig, WebConfig, WebFile, read_web_file


@dataclass(frozen=True, slots=True)
class WebFiles:
    """The reloaded web config and TLS; `tls` is None for plain HTTP."""

    config: Reloaded[WebFile]
    tls: Reloaded[ServerTls] | None

    def web_config(self) -> WebConfig:
        """Return the web config in force now."""
        return self.config.read().config

    @property
    def reloads(self) -> list[Reloaded[Any]]:
        """Everything that is reloaded."""
        return [self.config, *([self.tls] if self.tls else [])]


def load_web_files(path: Path) -> WebFiles:
    """Load the file of `--web.config.file` and the files that it names.

    Raises:
        UsageError: one of the files cannot be used.
    """
    speaks_tls = read_web_file(path).config.tls_server_config is not None

    def read() -> WebFile:
        file = read_web_file(path)
        if (file.config.tls_server_config is not None) is not speaks_tls:
            raise UsageError(
                f"{path}: tls_server_config: "
                f"TLS is {'on' if speaks_tls else 'off'} until the exporter is restarted"
            )
        return file

    config = Reloaded("web_config", partial(stamp_of, [path]), read)
    if not speaks_tls:
        return WebFiles(config, None)

    def stamp() -> object:
        tls = _tls(config.read())
        return (tls, stamp_of(tls.files))

    return WebFiles(
        config,
        Reloaded("tls", stamp, lambda: make_tls(config.latest, _tls(config.latest))),
    )


def _tls(file: WebFile) -> TlsConfig:
    assert file.config.tls_server_config is not None  # noqa: S101 - `read` sees to that
    return file.config.tls_server_config
