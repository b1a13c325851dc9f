"""A secret that was hidden appears in nothing that is said afterwards."""

from __future__ import annotations

import json
import logging
from urllib.parse import quote

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from exporter.errors import UsageError
from exporter.logs import configure_logging
from exporter.redaction import Redactor, redact

AWKWARD = "sp ace'quote\"double\\back%41@at/slash:#?&=ü€"

secrets = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=8, max_size=40
)


def _forms(secret: str) -> dict[str, str]:
    return {
        "raw": secret,
        "percent-encoded": quote(secret, safe=""),
        "quoted for libpq": secret.replace("\\", "\\\\").replace("'", "\\'"),
        "quoted by Python": repr(secret)[1:-1],
        "quoted by JSON": json.dumps(secret)[1:-1],
        "quoted by JSON as UTF-8": json.dumps(secret, ensure_ascii=False)[1:-1],
    }


@pytest.mark.parametrize("form", _forms(AWKWARD))
def test_secret_is_hidden_in_each_form(form: str) -> None:
    redactor = Redactor()
    redactor.hide(AWKWARD)
    assert redactor(f"before {_forms(AWKWARD)[form]} after") == "before *** after"


@given(secret=secrets, before=st.text(max_size=10), after=st.text(max_size=10))
def test_no_form_of_a_secret_survives(secret: str, before: str, after: str) -> None:
    redactor = Redactor()
    redactor.hide(secret)
    for form in _forms(secret).values():
        assert form not in redactor(before + form + after).replace("***", "\n")


def test_percent_encoded_secret_is_hidden_decoded_too() -> None:
    redactor = Redactor()
    redactor.hide("p%40ssword%2F1")
    assert redactor("p@ssword/1") == "***"


def test_secrets_that_are_rotated_need_no_room_for_ever() -> None:
    redactor = Redactor()
    redactor.hide(AWKWARD)
    for number in range(3_000):
        redactor.hide(f"token number {number}")
        if number % 100 == 0:
            redactor.hide(AWKWARD)  # as with each connection
    assert redactor(f"{AWKWARD} and token number 2999") == "*** and ***"
    assert redactor("token number 7") == "token number 7"


def test_secret_inside_of_another_does_not_uncover_it() -> None:
    redactor = Redactor()
    redactor.hide("password1")
    redactor.hide("password1-and-more")
    assert redactor("password1-and-more password1") == "*** ***"


def test_short_secret_is_hidden_as_a_word_only() -> None:
    redactor = Redactor()
    redactor.hide("loom", "ab")
    assert redactor("loom 'loom' =loom@ loom_exporter heirloom ab") == (
        "*** '***' =***@ loom_exporter heirloom ab"
    )


def test_nothing_hidden_changes_nothing() -> None:
    redactor = Redactor()
    assert redactor("as it is") == "as it is"
    redactor.hide("")
    redactor.hide("", "")
    assert redactor("as it is") == "as it is"


def test_variable_that_is_not_utf8_can_be_hidden() -> None:
    redactor = Redactor()
    redactor.hide("latin-\udce9-secret")
    assert redactor("latin-%E9-secret") == "***"


def test_error_of_a_setting_hides_secrets() -> None:
    redact.hide(AWKWARD)
    assert str(UsageError(f"no such host: {AWKWARD}")) == "no such host: ***"


@pytest.mark.parametrize("form", ["console", "json"])
def test_log_lines_hide_secrets_wherever_they_come_from(
    form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("json" if form == "json" else "console", "info")
    redact.hide(AWKWARD)
    log = structlog.get_logger("ours")
    log.info("told", detail=f"at {AWKWARD}")
    log.info(f"told {AWKWARD}")
    logging.getLogger("library").warning("theirs %s", AWKWARD)
    try:
        raise ValueError(AWKWARD)
    except ValueError:
        log.exception("failed")
    log.debug("not told")
    err = capsys.readouterr().err
    assert err.count("***") >= 4
    assert "not told" not in err
    for hidden in (*_forms(AWKWARD).values(), "quote", "slash"):
        assert hidden not in err
    if form == "json":
        lines = [json.loads(line) for line in err.splitlines()]
        assert [line["level"] for line in lines] == ["info", "info", "warning", "error"]
        assert lines[0]["detail"] == "at ***"
