"""What a check has found: a mark, one line, and what to do about it; and all findings
as a person reads them, line by line, and as a program does."""

from typing import Dict, List, Mapping, Optional

from ..display import json_line, shown
from ..errors import ServiceError, SsmPluginError
from ..masking import mask
from ..named_tuple import NamedTuple

OK, NOTE, PROBLEM, SKIPPED = "ok", "note", "problem", "skipped"

# As a person reads them; the second ones where the locale may lack the signs.
_MARKS = {OK: "\u2713", NOTE: "!", PROBLEM: "\u2717", SKIPPED: "-"}
_PLAIN_MARKS = {OK: "ok", NOTE: "note", PROBLEM: "FAIL", SKIPPED: "skip"}


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
    """The finding without secrets, and without anything that a terminal would obey."""
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


def problems(findings: Findings) -> Findings:
    return [one for one in findings if one.mark == PROBLEM]


def as_text(findings: Findings, target: str, environ: Mapping[str, str]) -> str:
    """The last line is the one thing to do."""
    marks = _MARKS if _has_other_marks(environ) else _PLAIN_MARKS
    width = max(len(mark) for mark in marks.values())
    names = max(len(one.check) for one in findings)
    lines: List[str] = []
    for one in findings:
        took = "" if one.seconds is None else " (%d ms)" % round(one.seconds * 1000)
        lines.append("%-*s %-*s  %s%s" % (width, marks[one.mark], names, one.check, one.text, took))
        if one.remedy:
            lines.append("%s  %s" % (" " * (width + 1 + names), one.remedy))
    return "\n".join(lines + ["", next_step(findings, target), ""])


def as_json(findings: Findings, target: str) -> str:
    document = {
        "ok": not problems(findings),
        "findings": [_object(one) for one in findings],
        "next": next_step(findings, target),
    }
    return json_line(document)


def next_step(findings: Findings, target: str) -> str:
    """The first problem: it may be the cause of the others."""
    wrong = problems(findings)
    if wrong:
        return "To do: %s: %s" % (wrong[0].check, wrong[0].line)
    with_target = " with %s" % target if target else ""
    return "Nothing was found that stands in the way of a session%s." % with_target


def _object(one: Finding) -> Dict[str, object]:
    fields: Dict[str, object] = {"check": one.check, "mark": one.mark, "text": one.text}
    if one.remedy:
        fields["remedy"] = one.remedy
    if one.seconds is not None:
        fields["seconds"] = round(one.seconds, 3)
    return fields


def _has_other_marks(environ: Mapping[str, str]) -> bool:
    """Python itself sets LC_CTYPE to C.UTF-8 where the locale is C: that says nothing."""
    locale = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or ""
    if locale == "C.UTF-8" and not environ.get("LC_ALL"):
        locale = environ.get("LANG") or ""
    return "utf" in locale.lower()
