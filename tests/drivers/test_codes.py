"""The response-code tables under config/codes, complete and in both languages; and a site's own word over them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from drivers import codes, registry
from drivers.codes import CodeBook, CodeMeaning, CodesError
from drivers.observations import Outcome

FOLDER = Path(__file__).parents[2] / "config" / "codes"
FILES = sorted(FOLDER.glob("*.toml"))
BOTH = {"en", "zh-CN"}
#: codes of UnionPay terminals behind which the money may have moved although nobody says so
DOUBT = {"", "06", "08", "09", "20", "26", "68", "94", "96", "98", "A0", "FF", "XX", "YM", "YT"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_code_is_whole(path: Path) -> None:
    table = codes.table(path.stem)
    assert table
    for code, meaning in table.items():
        assert set(meaning.text) == BOTH, code
        assert set(meaning.technician) == BOTH, code
        assert set(meaning.advice) in (set(), BOTH), code
        texts = [*meaning.text.values(), *meaning.advice.values(), *meaning.technician.values()]
        assert all(text.strip() for text in texts), code
        assert all(
            any("\u4e00" <= char <= "\u9fff" for char in each["zh-CN"]) for each in (meaning.text, meaning.technician)
        )


def test_every_code_of_unionpay_tells_the_cashier_what_to_do() -> None:
    table = codes.table("cup")
    assert len(table) == 89
    assert all(set(meaning.advice) == BOTH for meaning in table.values())


def test_no_doubt_of_unionpay_is_called_declined() -> None:
    book = codes.book("cup")
    assert book.doubt == DOUBT
    approved = {code for code, meaning in book.codes.items() if meaning.outcome is Outcome.APPROVED}
    assert approved == {"00", "10", "11", "16", "A2", "A4", "A5", "A6", "Y1", "Y3"}


@pytest.mark.parametrize("code", ["A2", "A4", "A5", "A6"])
def test_a_defective_success_is_paid_and_says_what_to_check(code: str) -> None:
    meaning = codes.table("cup")[code]
    assert meaning.outcome is Outcome.APPROVED
    assert "day after" in meaning.advice["en"]
    assert "次日" in meaning.advice["zh-CN"]


def test_a_doubtful_code_never_says_that_nobody_was_charged() -> None:
    for code in DOUBT - {"YM", "YT"}:
        advice = codes.table("cup")[code].advice
        assert "not paid" not in advice["en"].lower()
        assert "未收款" not in advice["zh-CN"]


def test_a_code_says_what_it_means_for_the_outcome() -> None:
    meaning = codes.meaning("concert", "7")
    assert meaning is not None
    assert meaning.outcome is Outcome.DECLINED
    assert meaning.text["zh-CN"] == "交易被拒绝"


@pytest.mark.parametrize(("protocol", "code"), [("concert", "5"), ("concert", None), ("nosuch", "0")])
def test_what_nobody_wrote_down_means_nothing(protocol: str, code: str | None) -> None:
    assert codes.meaning(protocol, code) is None


def test_an_installation_keeps_the_files_under_its_prefix() -> None:
    assert codes.shared_file("codes", "nosuch.toml") == Path(sys.prefix, "share", "tillwatch", "codes", "nosuch.toml")


def test_a_driver_names_its_table() -> None:
    assert registry.code_book("cup8583").meaning("98") == codes.table("cup")["98"]
    assert registry.code_book("zvt").meaning("6C") == codes.table("zvt")["6C"]
    assert registry.code_book("nosuch").codes == {}


# --- a site's own word ----------------------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TILLWATCH_CODES", str(tmp_path))
    return tmp_path


def write(site: Path, text: str, name: str = "cup") -> Path:
    path = site / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_site_changes_one_text_and_keeps_the_rest(site: Path) -> None:
    shipped = codes.table("cup")["91"]
    write(site, '["91"]\nadvice.en = "Call extension 4711."\n')
    changed = codes.book("cup").meaning("91")
    assert changed is not None
    assert changed.advice == {"en": "Call extension 4711.", "zh-CN": shipped.advice["zh-CN"]}
    assert (changed.outcome, changed.text, changed.technician) == (shipped.outcome, shipped.text, shipped.technician)
    assert codes.book("cup").meaning("51") == codes.table("cup")["51"]


def test_a_site_changes_a_class_and_adds_a_code(site: Path) -> None:
    write(site, '["91"]\nclass = "unknown"\n\n["Q1"]\nclass = "declined"\nen = "Ours"\nzh-CN = "本院"\n')
    book = codes.book("cup")
    assert {"91"} == book.doubt - DOUBT
    assert book.meaning("Q1") == CodeMeaning(Outcome.DECLINED, {"en": "Ours", "zh-CN": "本院"})


def test_a_profiles_own_codes_lie_between_the_shipped_ones_and_the_sites(site: Path) -> None:
    own = {
        "91": CodeMeaning(Outcome.UNKNOWN, {"en": "Profile", "zh-CN": "配置"}),
        "92": CodeMeaning(Outcome.UNKNOWN, {"en": "Profile", "zh-CN": "配置"}),
    }
    write(site, '["91"]\nen = "Site"\n', name="ours")
    book = codes.book("cup", own, "ours")
    shown = {code: meaning.text["en"] for code in ("51", "91", "92") if (meaning := book.meaning(code))}
    assert shown == {"51": codes.table("cup")["51"].text["en"], "91": "Site", "92": "Profile"}
    assert book.codes["91"].outcome is Outcome.UNKNOWN


def test_a_book_without_tables_is_empty() -> None:
    assert CodeBook().codes == {}
    assert CodeBook().doubt == frozenset()


@pytest.mark.parametrize(
    ("text", "line", "key", "value"),
    [
        ('["91"]\nen = "a\n', 2, "bad_toml", "problem"),
        ('["51"]\nen = "a"\n["91"]\nzh-CN = "b"\nclass = "maybe"\n', 5, "bad_class", "found"),
        ('["Q1"]\nclass = "declined"\nen = "a"\n', 1, "no_text", "language"),
        ('["91"]\nadvise.en = "a"\n', 2, "unknown_key", "nearest"),
        ('["Q1"]\nclass = "declined"\nen = "a"\nzh-CN = "b"\nadvice.en = "c"\n', 5, "half_texts", "key"),
        ('["91"]\nen = 7\n', 2, "no_text", "language"),
        ('\n91 = "declined"\n', 2, "no_row", "code"),
    ],
)
def test_a_broken_file_is_told_with_its_line(site: Path, text: str, line: int, key: str, value: str) -> None:
    path = write(site, text)
    with pytest.raises(CodesError) as raised:
        codes.book("cup")
    assert raised.value.key == key
    assert raised.value.values["where"] == f"{path}:{line}"
    assert raised.value.values[value]


def test_a_file_in_another_encoding_is_told(site: Path) -> None:
    (site / "cup.toml").write_bytes('["91"]\nzh-CN = "暂停"\n'.encode("gbk"))
    with pytest.raises(CodesError) as raised:
        codes.book("cup")
    assert raised.value.key == "not_utf8"


def test_a_decoder_goes_on_with_the_shipped_table_when_the_sites_is_broken(site: Path) -> None:
    write(site, '["91"]\nclass = "maybe"\n')
    codes._kept_book.cache_clear()
    try:
        assert codes.meaning("cup", "91") == codes.table("cup")["91"]
    finally:
        codes._kept_book.cache_clear()


def test_the_whole_folder_is_read_at_once(site: Path) -> None:
    write(site, '["91"]\nen = "a"\n')
    assert codes.check_site(["cup", "zvt"]) == [site / "cup.toml"]
    write(site, '["91"]\nen = "a"\n', name="cap")
    with pytest.raises(CodesError) as raised:
        codes.check_site(["cup", "zvt"])
    assert (raised.value.key, raised.value.values["nearest"]) == ("no_such_table", "cup")


def test_every_error_has_a_text_in_both_languages() -> None:
    said = {
        "bad_toml",
        "not_utf8",
        "unreadable",
        "no_such_table",
        "no_row",
        "unknown_key",
        "no_text",
        "bad_class",
        "half_texts",
    }
    for language in BOTH:
        path = Path(__file__).parents[2] / "agent" / "locale" / language / "codes.toml"
        assert said <= {line.split(" = ")[0] for line in path.read_text(encoding="utf-8").splitlines()}


def test_the_known_frames_use_only_codes_that_are_written_down() -> None:
    text = (Path(__file__).parents[1] / "data" / "cn_frames.json").read_text(encoding="utf-8")
    used = {case["expect"].get("resp") for case in json.loads(text)["cases"] if case["protocol"].startswith("cup8583")}
    assert used - {None} <= set(codes.table("cup"))
