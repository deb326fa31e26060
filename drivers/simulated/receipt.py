"""A terminal of which only the printer is heard: it prints a slip each time somebody pays.

It needs nobody to ask: payments come by themselves, `think_s` apart (as many as `payments` says), each with its two
copies in GBK and ESC/POS. The kinds follow one another: a card, WeChat, Alipay, an Alipay refund; behind every eighth
the day is settled. Scenarios: `decline` and `cancel` print the slip of a failure, `lost` prints the merchant's copy as
a reprint only, `unsure` the alarm of a reversal that failed; `silent` and `busy` print nothing; `reboot` loses the line
in the middle of a slip and prints it once more; all others print an approved slip.

Events in the log: charged, declined, cancelled, silent, reprinted, rebooted, settled; each with kind, amount, card.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from drivers.cards import mask
from drivers.driver import Action, HangUp, Log, Scenario, Send, Simulation

WIDTH = 32  # half-width columns of 58 mm paper
SETTLE_AFTER = 8
REPRINT_S = 3.0  # so long after its restart the terminal prints once more what it had begun
_BEGIN = datetime(2026, 1, 5, 8, 0)
_INIT, _CENTRE, _LEFT, _CUT = b"\x1b@", b"\x1ba\x01", b"\x1ba\x00", b"\x1bd\x03\x1dVB\x00"
_MERCHANT_ID = "898111180620001"
_WAITS: dict[Scenario, str] = {Scenario.SLOW: "slow_s", Scenario.LATE: "late_s"}


@dataclass(frozen=True, slots=True)
class _Payment:
    """One payment as its slip shows it. Amount in minor units."""

    kind: str  # card, wechat, alipay, alipay_refund
    number: int
    amount: int
    at: datetime

    @property
    def refund(self) -> bool:
        return self.kind == "alipay_refund"

    @property
    def trace(self) -> str:
        return f"{self.number:06d}"


_KINDS = ("card", "wechat", "alipay", "alipay_refund")


class SimulatedPrinter:
    """Pays by itself and prints. What is sent to it is ignored, as by a printer port."""

    def __init__(self, settings: Simulation) -> None:
        self._settings = settings
        self._clock = settings.clock
        self._number = settings.seed
        self._batch = 1
        self._done: list[_Payment] = []
        self._due: float | None = None
        self._again: bytes = b""  # printed when the line is back

    def receive(self, data: bytes, now: float) -> Sequence[Action]:  # noqa: ARG002  a printer port is deaf
        """Whoever speaks to a printer port wakes it, and is not answered."""
        return self.tick(now)

    def tick(self, now: float) -> Sequence[Action]:
        """Print what is due."""
        if self.deadline() is None:
            return ()
        if self._due is None:
            self._due = now + self._wait()
        if now < self._due:
            return ()
        actions = list(self._pay())
        self._due = now + (self._settings.reboot_s + REPRINT_S if self._again else self._wait())
        return actions

    def deadline(self) -> float | None:
        """When the next slip is printed; at once when nothing was done yet."""
        if self._settings.payments is not None and self._paid >= self._settings.payments and not self._again:
            return None
        return 0.0 if self._due is None else self._due

    @property
    def _paid(self) -> int:
        return self._number - self._settings.seed

    @property
    def _scenario(self) -> Scenario:
        scenarios = self._settings.scenarios
        return scenarios[self._paid % len(scenarios)]

    def _wait(self) -> float:
        return max(0.01, float(getattr(self._settings, _WAITS.get(self._scenario, "think_s"))))

    # --- what happens -----------------------------------------------------------------------------------------------

    def _pay(self) -> Iterator[Action]:
        if self._again:
            again, self._again = self._again, b""
            yield Send(again)
            return
        scenario = self._scenario
        payment = self._next()
        if scenario in (Scenario.SILENT, Scenario.BUSY):
            yield self._log("silent", payment)
            return
        if scenario in (Scenario.DECLINE, Scenario.CANCEL):
            yield self._log("cancelled" if scenario is Scenario.CANCEL else "declined", payment)
            yield Send(_paper(self._failed(payment, cancelled=scenario is Scenario.CANCEL)))
            return
        yield self._log("charged", payment)
        if scenario is Scenario.UNSURE:
            yield Send(_paper(self._alarm(payment)))
            return
        self._done.append(payment)
        yield from self._printed(payment, scenario)
        if len(self._done) >= SETTLE_AFTER:
            yield self._log("settled", payment)
            yield Send(_paper(self._settled()))
            self._done.clear()
            self._batch += 1

    def _printed(self, payment: _Payment, scenario: Scenario) -> Iterator[Action]:
        merchant, customer = (_paper(self._slip(payment, copy)) for copy in ("商户存根", "持卡人存根"))
        if scenario is Scenario.LOST:
            yield self._log("reprinted", payment)
            yield Send(_paper(self._slip(payment, "商户存根", reprint=True)))
        elif scenario is Scenario.REBOOT:
            self._again = merchant + customer
            yield Send(merchant[: len(merchant) // 2])
            yield self._log("rebooted", payment)
            yield HangUp(self._settings.reboot_s)
        else:
            yield Send(merchant + customer)

    def _next(self) -> _Payment:
        place = self._number
        self._number += 1
        at = self._clock() if self._clock else _BEGIN + timedelta(minutes=3 * place)
        return _Payment(_KINDS[(place - self._settings.seed) % len(_KINDS)], place, 1000 + 777 * (place % 90), at)

    def _log(self, event: str, payment: _Payment) -> Log:
        card = mask(self._settings.card) if payment.kind == "card" else None
        kind = "refund" if payment.refund else "purchase"
        masked = card.masked if card else None
        shown = (("kind", kind), ("amount", payment.amount), ("currency", "CNY"), ("card", masked))
        return Log(event, (*shown, ("trace", payment.trace)))

    # --- what is printed --------------------------------------------------------------------------------------------

    def _head(self, title: str, copy: str | None = None) -> Iterator[str]:
        yield title.center(WIDTH - _wide(title)).rstrip()
        if copy:
            yield f"{copy:>20}"
        yield "-" * WIDTH
        yield "商户名称:示例市第一人民医院"
        yield f"商户编号:{_MERCHANT_ID}"
        yield f"终端编号:{self._settings.terminal_id}"

    def _slip(self, payment: _Payment, copy: str, reprint: bool = False) -> Iterator[str]:
        yield from self._head("POS签购单" if payment.kind == "card" else "扫码支付签购单", copy)
        yield from self._card() if payment.kind == "card" else ()
        yield f"交易类型:{_TYPES[payment.kind]}"
        yield f"批次号:{self._batch:06d}  凭证号:{payment.trace}"
        yield from self._orders(payment)
        yield f"日期/时间:{payment.at:%Y/%m/%d %H:%M:%S}"
        yield f"{'退款金额' if payment.refund else '金额'}:RMB {_money(payment.amount)}"
        yield "-" * WIDTH
        if reprint:
            yield "****重打印/DUPLICATED****"

    def _card(self) -> Iterator[str]:
        card = mask(self._settings.card)
        yield "卡号:"
        yield f"{card.masked if card else ''} I"

    def _orders(self, payment: _Payment) -> Iterator[str]:
        day = f"{payment.at:%Y%m%d}"
        if payment.kind == "card":
            yield f"授权码:A{payment.number % 100000:05d}"
            yield f"交易参考号:{payment.at:%y%m%d}{payment.trace}"
            return
        yield f"商户订单号:1017{day}{payment.at:%H%M%S}{payment.number % 10000:04d}"
        if payment.kind == "wechat":
            yield "微信订单号:"
            yield f"4200002188{day}{payment.number:010d}"
        else:
            yield "支付宝交易号:"
            yield f"{day}22001412{payment.number:012d}"

    def _failed(self, payment: _Payment, cancelled: bool) -> Iterator[str]:
        yield from self._head("POS交易失败凭条")
        yield from self._card() if payment.kind == "card" else ()
        yield f"交易类型:{_TYPES[payment.kind]}"
        yield f"批次号:{self._batch:06d}  凭证号:{payment.trace}"
        yield f"日期/时间:{payment.at:%Y/%m/%d %H:%M:%S}"
        yield f"金额:RMB {_money(payment.amount)}"
        if cancelled:
            yield "交易失败,持卡人取消"
        else:
            yield "应答码:51"
            yield "应答信息:可用余额不足"
            yield "交易失败"

    def _alarm(self, payment: _Payment) -> Iterator[str]:
        yield "***故障报告单,非凭证联***"
        yield from self._head("POS签购单")
        yield f"交易类型:{_TYPES[payment.kind]}"
        yield f"批次号:{self._batch:06d}  凭证号:{payment.trace}"
        yield f"日期/时间:{payment.at:%Y/%m/%d %H:%M:%S}"
        yield f"金额:RMB {_money(payment.amount)}"
        yield "冲正不成功,请人工处理"
        yield "***故障单,非凭证联***"

    def _settled(self) -> Iterator[str]:
        yield from self._head("结 算 总 计 单")
        yield f"批次号:{self._batch:06d}"
        yield f"日期/时间:{self._done[-1].at:%Y/%m/%d %H:%M:%S}"
        yield "内卡: 对帐平"
        for name, refunds in (("消费/SALE", False), ("退货/REFUND", True)):
            amounts = [payment.amount for payment in self._done if payment.refund is refunds]
            yield f"{name:<12}{len(amounts):>4}{_money(sum(amounts)):>14}"
        yield "外卡: 对帐平"
        yield f"{'消费/SALE':<12}{0:>4}{'0.00':>14}"


_TYPES = {"card": "消费/SALE", "wechat": "微信支付-消费", "alipay": "支付宝-消费", "alipay_refund": "支付宝-退款"}


def _paper(lines: Iterator[str]) -> bytes:
    """The slip as the printer gets it: a centred title, the lines, and the cut."""
    title, *rest = [line.encode("gb18030") for line in lines]
    return _INIT + _CENTRE + title + b"\n" + _LEFT + b"".join(line + b"\n" for line in rest) + _CUT


def _money(amount: int) -> str:
    return f"{amount // 100:,}.{amount % 100:02d}"


def _wide(text: str) -> int:
    """How many of the characters take two columns."""
    return sum(not char.isascii() for char in text)
