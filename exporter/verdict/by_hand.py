"""What people have said: of a criterion, of a check, or of what is signed beside them."""

from exporter.catalog.criteria import ALL
from exporter.deployment.records import Outcome
from exporter.deployment.sign_offs import SignOff, SignOffs, current
from exporter.verdict.outcome import ConditionResult
from exporter.wording import listed, moment


def judge_by_hand(name: str, phase: str, signed: SignOffs) -> ConditionResult:
    """Return what people have said of something, or that it is not signed yet.

    The latest word of each person counts: it fails while one person rejects it.
    """
    if not signed:
        return ConditionResult(
            Outcome.INCONCLUSIVE,
            f"not signed yet: loom-exporter sign-off {name} --by NAME",
            is_signed=True,
        )
    words = current(signed)
    earlier = [each for each in reversed(signed) if each not in words]
    text = listed([_said(each) for each in words])
    if earlier:
        text += f"; earlier: {listed([_said(each) for each in earlier])}"
    blamed = () if phase == ALL else (phase,)
    outcome = Outcome.PASS if all(each.approved for each in words) else Outcome.FAIL
    return ConditionResult(outcome, text, blamed, is_signed=True)


def _said(word: SignOff) -> str:
    said = "approved" if word.approved else "rejected"
    text = f"{said} by {word.by}, {moment(word.at)}"
    return f"{text}: {word.note}" if word.note else text
