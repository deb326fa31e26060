"""The escalation package for the acquirer (差错/调账申请): one ZIP, the same bytes for the same evidence and moment.

The letter in both languages (HTML for printing and sealing), the items as CSV, both receipts, the patient's proof, the
evidence as JSON, and a list of SHA-256 digests of all of it. Made only when nothing in it looks like a card number.
"""

from __future__ import annotations

import csv
import io
import zipfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path

import jinja2

from agent import __version__, telling
from agent.money import show_amount
from collector.cases import evidence as papers
from collector.cases.evidence import Evidence, Payment
from collector.cases.life import Kind
from collector.cases.scan import has_card, may_be
from collector.errors import CollectorError
from collector.texts import LANGUAGES, Texts

_TEMPLATES = Path(__file__).parents[1] / "web" / "templates"
_ANSWER_DAYS = 7

#: what the acquirer is asked for
_REQUESTS = {
    Kind.DOUBLE_CHARGE: "refund",
    Kind.DUPLICATE: "refund",
    Kind.BOOKED_NOT_CHARGED: "claim",
    Kind.REVERSAL_FAILED: "reversal",
    Kind.SETTLEMENT_MISMATCH: "settlement",
}
_COLUMNS = (
    "started_at", "kind", "amount", "currency", "card", "batch", "trace", "reference", "approval_code", "terminal_id",
    "merchant_id", "order", "channel_order", "response_code", "outcome", "charged", "delivered",
)  # fmt: skip


class CardInPackageError(CollectorError):
    """The package would hold what looks like a card number. Nothing was made."""


@dataclass(frozen=True, slots=True)
class Package:
    """A ZIP ready to be sent, and the digest of its list of digests."""

    name: str
    content: bytes
    digest: str


def build(evidence: Evidence, now: datetime, *, hospital: str | None, contact: str | None, language: str) -> Package:
    """Make it. `now`: local time. `language`: of the patient's proof. Raises CardInPackageError."""
    number = evidence.case.number
    files = _files(evidence, now, hospital, contact, language)
    known = _known_numbers(evidence)
    for name, text in files.items():
        if has_card(text, known):
            raise CardInPackageError("cases.card_in_package", where=name)
    content = {name: text.encode("utf-8-sig" if name.endswith(".csv") else "utf-8") for name, text in files.items()}
    sums = "".join(f"{sha256(data).hexdigest()}  {name}\n" for name, data in sorted(content.items())).encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in [*sorted(content.items()), ("SHA256SUMS", sums)]:
            entry = zipfile.ZipInfo(f"case-{number}/{name}", now.timetuple()[:6])
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    return Package(f"tillwatch-case-{number}-{now:%Y%m%d}.zip", out.getvalue(), sha256(sums).hexdigest())


def _files(
    evidence: Evidence, now: datetime, hospital: str | None, contact: str | None, language: str
) -> dict[str, str]:
    files = {
        "evidence.json": papers.as_json(evidence, now.isoformat(timespec="seconds")),
        "items.csv": _table(evidence),
    }
    for each in LANGUAGES:
        files[f"application.{each}.html"] = letter(evidence, Texts(each), now, hospital=hospital, contact=contact)
    if evidence.payment is not None:
        files["proof.html"] = papers.proof_page(
            evidence.payment, Texts(language), now, hospital=hospital, contact=contact
        )
    for role, payment in (("", evidence.payment), ("related-", evidence.related)):
        for slip in payment.slips if payment else ():
            files[f"receipts/{role}{slip.sequence}-{slip.receipt_kind or 'receipt'}.txt"] = slip.text + "\n"
    return files


def letter(evidence: Evidence, texts: Texts, now: datetime, *, hospital: str | None, contact: str | None) -> str:
    """The application to the acquirer, for printing."""
    case, say = evidence.case, texts.say
    payments = [payment for payment in (evidence.payment, evidence.related) if payment]
    request = _REQUESTS.get(Kind(case.kind), "verify")
    first = payments[0] if payments else None
    return _template().render(
        language=texts.language,
        say=lambda key, **values: say(f"package.{key}", **values),
        word=say,
        hospital=hospital or case.site or "-",
        contact=contact,
        case=case,
        what=say(f"cases.kind_{case.kind}"),
        request=say(f"package.request_{request}"),
        amount=show_amount(case.amount, case.currency),
        merchant=(first.data.merchant_id if first else None) or "-",
        terminal=(first.data.terminal_id if first else None) or "-",
        answer_by=f"{now + timedelta(days=_ANSWER_DAYS):%Y-%m-%d}",
        items=[(payment.found.id, telling.facts(payment.data, texts)) for payment in payments],
        steps=[step for payment in payments for step in _steps(payment, texts)],
        slips=[(slip, say(f"history.copy_{slip.receipt_kind}")) for payment in payments for slip in payment.slips],
        made=f"{now:%Y-%m-%d %H:%M:%S}",
        version=__version__,
    )


def _steps(payment: Payment, texts: Texts) -> list[tuple[str, str]]:
    """What passed on the line and what was asked, in order: time and words."""
    steps = [(asked.at, telling.question(asked, texts)) for asked in payment.data.asked]
    steps += [(told.time, telling.step(told, texts)) for told in payment.told]
    in_order = sorted(steps, key=lambda step: datetime.fromisoformat(step[0]))
    return [(telling.clock(time), what) for time, what in in_order]


def _table(evidence: Evidence) -> str:
    """The items for a spreadsheet. Numbers keep their leading zeros; nothing can be taken for a formula."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(("case", "transaction", "site", "agent", "terminal", *_COLUMNS))
    for payment in (evidence.payment, evidence.related):
        if payment is None:
            continue
        found, data = payment.found, payment.found.data
        values = {**data, "card": (data.get("card") or {}).get("masked")}
        row = [found.id, found.site, found.agent, data.get("terminal"), *(values.get(name) for name in _COLUMNS)]
        writer.writerow([evidence.case.number, *(_cell(value) for value in row)])
    return out.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t"):
        return "'" + value
    return value


def _known_numbers(evidence: Evidence) -> list[str]:
    names = ("reference", "order", "channel_order", "merchant_id", "terminal_id", "approval_code", "trace", "batch")
    payments = [payment for payment in (evidence.payment, evidence.related) if payment]
    cards = [payment.data.card.masked for payment in payments if payment.data.card]
    known = [value for payment in payments for name in names if (value := getattr(payment.data, name))]
    return [number for number in known if not any(may_be(number, masked) for masked in cards)]


@cache
def _template() -> jinja2.Template:
    loader = jinja2.FileSystemLoader(_TEMPLATES)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("letter.html")
