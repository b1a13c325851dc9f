"""What people have said: of a criterion, of a check, or of what is signed beside them."""

from exporter.catalog.condition import ALL
from exporter.deployment.records import Outcome
from exporter.deployment.sign_offs import SignOff, SignOffs, current
from exporter.verdict.condition_result import ConditionResult
from exporter.wording import listed, moment


def judge_by_hand(name: str, phase: str, signed: SignOffs, since: float = 0.0) -> ConditionResult:
    """Return what people have said of something, or that it is not signed yet.

    The latest word of each person counts: it fails while one person rejects it.

    Args:
        name: of what is signed.
        phase: to blame if it is rejected.
        signed: all words about it.
        since: Unix time; who approved before that has not seen what there is now.
    """
    latest = current(signed)
    words = [each for each in latest if each.at >= since or not each.approved]
    if not words:
        told = f"loom-exporter sign-off {name} --by NAME"
        if latest:
            before = listed([_said(each) for each in latest])
            told = f"{before}, which was before the last migration or rollback; again: {told}"
        else:
            told = f"not signed yet: {told}"
        return ConditionResult(Outcome.INCONCLUSIVE, told, is_signed=True)
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
