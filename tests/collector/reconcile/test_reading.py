"""Files of all shipped formats become entries; what is wrong with a row is told with its line, without card numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.phrase import Phrase
from agent.texts import LANGUAGES
from collector.ledger.entries import Entry, EntryKind, Side
from collector.reconcile import fields
from collector.reconcile.errors import FileError
from collector.reconcile.fields import BadCellError
from collector.reconcile.mapping import load
from collector.reconcile.reading import BadRow, StatementFile
from collector.reconcile.writers import ALLINPAY_COLUMNS, write_allinpay, write_his_generic
from collector.texts import Texts
from tests.collector.reconcile.generate import DAY, Hospital, moment

PAN = "6222021234567890123"
ALLINPAY_HEAD = ",".join(ALLINPAY_COLUMNS)


def read(path: Path, name: str) -> tuple[list[Entry], list[BadRow], StatementFile]:
    file = StatementFile(path, load(name), DAY)
    rows = list(file)
    entries = [row for row in rows if isinstance(row, Entry)]
    return entries, [row for row in rows if isinstance(row, BadRow)], file


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


WECHAT_HEAD = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,"
    "应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,"
    "费率,订单金额,申请退款金额,费率备注"
)
WECHAT_PAID = (
    "`2026-11-24 09:30:00,`wx1,`1900000109,`0,`12345671,`4200001234567890123456789012,`MZ1,`oPERSON,`MICROPAY,`SUCCESS,"
    "`ICBC,`CNY,`35.50,`0.00,`0,`0,`0.00,`0.00,`,`,`挂号,`,`0.21000,`0.60%,`35.50,`0.00,`"
)
WECHAT_BACK = (
    "`2026-11-24 10:30:00,`wx1,`1900000109,`0,`12345671,`4200001234567890123456789012,`MZ1,`oPERSON,`MICROPAY,`REFUND,"
    "`ICBC,`CNY,`0.00,`0.00,`5030001,`RF1,`10.00,`0.00,`ORIGINAL,`SUCCESS,`挂号,`,`-0.06000,`0.60%,`0.00,`10.00,`"
)
WECHAT_TOTAL = (
    "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额\n"
    "`2,`35.50,`10.00,`0.00,`0.15000,`35.50,`10.00\n"
)


def test_wechat(tmp_path: Path) -> None:
    path = write(tmp_path / "wx.csv", "\ufeff" + "\r\n".join((WECHAT_HEAD, WECHAT_PAID, WECHAT_BACK, WECHAT_TOTAL)))
    (paid, back), bad, file = read(path, "wechat")
    assert bad == []
    assert (paid.amount, paid.channel_order, paid.order, paid.fee) == (3550, "4200001234567890123456789012", "MZ1", 21)
    assert paid.time_us == moment(DAY, "09:30:00")
    assert (back.kind, back.amount, back.order, back.original) == (EntryKind.REFUND, 1000, "RF1", paid.channel_order)
    assert file.read().total_ok is True
    assert "oPERSON" not in repr((paid, back))


def test_a_total_that_does_not_agree_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "wx.csv", "\n".join((WECHAT_HEAD, WECHAT_PAID, WECHAT_TOTAL)))
    _, _, file = read(path, "wechat")
    assert file.read().total_ok is False


def test_alipay_in_gbk(tmp_path: Path) -> None:
    head = (
        "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,"
        "订单金额（元）,商家实收（元）,退款批次号/请求号,服务费（元）,备注"
    )
    rows = [
        "2026112422001\t,MZ2\t,交易,挂号,2026-11-24 09:00:00,2026-11-24 09:00:05,,,,12345671,张*(138****0000),"
        "12.00,12.00,,0.07,",
        "2026112422001\t,MZ2\t,退款,挂号,2026-11-24 09:00:00,2026-11-24 11:00:05,,,,12345671,张*(138****0000),"
        "-2.00,-2.00,R1,-0.01,",
    ]
    lines = ["#支付宝业务明细查询", head, *rows, "#交易合计：2笔，商家实收共10.00元，商家优惠共0.00元"]
    path = write(tmp_path / "ali.csv", "\r\n".join(lines), "gb18030")
    (paid, back), bad, file = read(path, "alipay")
    assert bad == []
    assert (paid.amount, paid.channel_order, paid.order) == (1200, "2026112422001", "MZ2")
    assert (back.kind, back.amount, back.channel_order, back.original) == (EntryKind.REFUND, 200, "R1", "2026112422001")
    assert file.read().total_ok is True
    assert "138" not in repr((paid, back))


def test_leshua_counts_in_fen_and_leaves_out_what_is_no_payment(tmp_path: Path) -> None:
    lines = [
        "BT,编号,交易时间,订单号,商户号,费率,交易金额",
        "BV,1,2026-11-24 09:30:00,L1,8981,0.38,3550,13,3537,进账,消费,刷卡,借记卡,*,240607100001,000123,12345671,MZ1,*",
        "BV,2,2026-11-24 09:35:00,L2,89,0.3,3550,0,3550,出账,消费撤销,刷卡,借记卡,*,240607100002,000124,12345671,MZ1,R",
        "BV,3,2026-11-24 09:36:00,L3,8981,0.38,3550,0,3550,冻结,,刷卡,,,,,,,",
    ]
    (paid, void), bad, file = read(write(tmp_path / "ls.txt", "\n".join(lines)), "leshua")
    assert (paid.amount, paid.fee, paid.reference, paid.trace) == (3550, 13, "240607100001", "000123")
    assert void.kind is EntryKind.VOID
    assert (bad, file.read().skipped) == ([], 1)


def test_self_service_rows_by_transfer_without_the_account(tmp_path: Path) -> None:
    lines = [
        "1,100.00,1,35.50",
        f"{PAN},20261124,2026-11-24 09:30:00,35.50,240607100001,0,0,0,0",
        f"{PAN},20261124,2026-11-24 09:31:00,100.00,2,1,0,0,0",
    ]
    (entry,), bad, file = read(write(tmp_path / "icbc.txt", "\n".join(lines), "gb2312"), "icbc-his")
    assert (entry.side, entry.amount, entry.reference) == (Side.HIS, 3550, "240607100001")
    assert (bad, file.read().total_ok, file.read().skipped) == ([], True, 1)
    assert PAN not in repr(entry)


def test_unionpay_like(tmp_path: Path) -> None:
    head = (
        "清算日期,交易日期,交易时间,商户编号,商户名称,终端编号,交易类型,卡号,发卡行,卡类型,交易金额,手续费,清算金额,"
        "参考号,凭证号,批次号,授权码,订单号,支付渠道,备注"
    )
    row = (
        f"20261125,20261124,093000,8981,某医院,12345671,消费,{PAN},工行,借记,"
        '"1,035.50",1.2,1034.30,240607100001,000123,000001,,MZ1,,'
    )
    (entry,), bad, _ = read(write(tmp_path / "up.csv", f"{head}\n{row}\n", "gbk"), "unionpay-generic")
    assert bad == []
    assert (entry.amount, entry.card, entry.time_us) == (103550, "622202*********0123", moment(DAY, "09:30:00"))


def test_fixed_places_count_bytes_of_the_encoding(tmp_path: Path) -> None:
    description = write(
        tmp_path / "ours.toml",
        'side = "acquirer"\n[file]\nlayout = "fixed"\nencodings = ["gb18030"]\n[amount]\nunit = "fen"\n'
        '[time]\nformats = ["%Y%m%d%H%M%S"]\n[columns]\namount = "19-30"\ntime = "5-18"\nreference = "31-42"\n'
        '[kind]\ncolumns = "1-4"\n[kind.values]\n"消费" = "purchase"\n',
    )
    path = write(tmp_path / "fixed.txt", "消费20261124093000000000003550240607100001\r\n", "gb18030")
    (entry,), bad, _ = read(path, str(description))
    assert bad == []
    assert (entry.amount, entry.reference, entry.time_us) == (3550, "240607100001", moment(DAY, "09:30:00"))


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ({"交易金额": "12.345"}, "'12.345' is no amount"),
        ({"交易金额": PAN}, "'622202*********0123' is no amount"),
        ({"交易日期": "24.11.2026"}, "'24.11.2026 09:30:00' is no time"),
        ({"交易类型": "积分兑换"}, "unknown type '积分兑换'"),
        ({"参考号": "2.40607E+11"}, "shortened by a spreadsheet"),
        ({"交易日期": "2026-02-30"}, "is no time"),
    ],
)
def test_a_bad_row_is_told_with_its_line(tmp_path: Path, cells: dict[str, str], told: str) -> None:
    good = dict.fromkeys(ALLINPAY_HEAD.split(","), "")
    good |= {
        "终端号": "1",
        "交易日期": DAY,
        "交易时间": "09:30:00",
        "交易类型": "消费",
        "交易金额": "1.00",
        "参考号": "1",
    }
    lines = [ALLINPAY_HEAD, ",".join(good.values()), ",".join((good | cells).values())]
    entries, (bad,), file = read(write(tmp_path / "pos.csv", "\n".join(lines)), "allinpay")
    assert (len(entries), bad.line, file.read().bad) == (1, 3, 1)
    assert told in bad.why.say(Texts("en"))
    assert "reconcile." not in bad.why.say(Texts("zh-CN"))


def test_short_rows_quotes_and_strange_bytes_are_bad_rows(tmp_path: Path) -> None:
    path = tmp_path / "pos.csv"
    path.write_bytes(ALLINPAY_HEAD.encode() + b'\n1,2,3\n1,"open\n\xff\xff\xff,1\n')
    entries, bad, _ = read(path, "allinpay")
    assert entries == []
    assert [row.line for row in bad] == [2, 3, 4]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04xxxx", "Save it as CSV"),
        ("商户号,终端\n1,2\n".encode(), r"pos\.csv:1: no column '终端号'.* nearest is '终端'"),
        (b"\n\n", "no line with the names"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "pos.csv"
    path.write_bytes(content)
    with pytest.raises(FileError, match=told):
        read(path, "allinpay")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"none\.csv: can't be read"):
        read(tmp_path / "none.csv", "allinpay")


@given(seed=st.integers(0, 500), encoding=st.sampled_from(["utf-8", "gb18030", "utf-8-sig"]))
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, seed: int, encoding: str) -> None:
    folder = tmp_path_factory.mktemp("written")
    hospital = Hospital(seed)
    hospital.everything()
    for side, name, writer in (
        (Side.HIS, "his-generic", write_his_generic),
        (Side.ACQUIRER, "allinpay", write_allinpay),
    ):
        rows = hospital.rows[(side, DAY)]
        writer(folder / name, rows, encoding)
        entries, bad, file = read(folder / name, name)
        assert bad == []
        assert [entry.signed for entry in entries] == [row.signed for row in rows]
        names = ("terminal_id", "reference", "trace", "batch", "order", "time_us", "last4")
        assert [[getattr(e, n) for n in names] for e in entries] == [[getattr(r, n) for n in names] for r in rows]
        assert file.read().total_ok is not False


@given(st.text(max_size=40))
def test_no_cell_breaks_the_reader(text: str) -> None:
    told: list[Phrase] = []
    for read_cell in (fields.number, fields.card, lambda cell: fields.money(cell, in_fen=False)):
        try:
            read_cell(fields.clean(text, "`"))
        except BadCellError as error:
            told.append(error.why)
    assert all("reconcile." not in why.say(Texts(language)) for why in told for language in LANGUAGES)
