"""What a check has found: a mark, one line, and what to do about it."""

from typing import List, Optional

from ..display import shown
from ..errors import ServiceError, SsmPluginError
from ..masking import mask
from ..named_tuple import NamedTuple

OK, NOTE, PROBLEM, SKIPPED = "ok", "note", "problem", "skipped"


class Finding(NamedTuple):
    """``check`` is the step, ``remedy`` is empty where nothing is to be done. ``seconds`` is what
    the step took, None where that says nothing. ``denied``: a permission is missing."""

    check: str
    mark: str
    text: str
    remedy: str = ""
    seconds: Optional[float] = None
    denied: bool = False

    @property
    def line(self) -> str:
        """What failed, and what to do."""
        return "%s; %s" % (self.text, self.remedy) if self.remedy else self.text


Findings = List[Finding]


def clean(finding: Finding) -> Finding:
    """Without secrets, and without anything that a terminal would obey."""
    return finding._replace(
        text=shown(" ".join(mask(finding.text).split())),
        remedy=shown(" ".join(mask(finding.remedy).split())),
    )


def from_error(check: str, error: SsmPluginError, mark: str = PROBLEM) -> Finding:
    """Our errors say what failed, and what to do behind a semicolon."""
    from ..aws.service_errors import is_denied

    text, _, remedy = str(error).partition("; ")
    denied = isinstance(error, ServiceError) and is_denied(error)
    return Finding(check, mark, text, remedy, denied=denied)


def skipped(check: str, why: str) -> Finding:
    return Finding(check, SKIPPED, why)


def problems(findings: Findings) -> Findings:
    return [one for one in findings if one.mark == PROBLEM]
