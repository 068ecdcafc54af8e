"""Numbers, instants, ages and digests have one form each."""

import datetime as dt

import pytest

from appliance.portal import bars, wording

AT = dt.datetime(2026, 1, 5, 18, 0, 59, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (wording.number(1234567), "1,234,567"),
        (wording.number(None), "–"),
        (wording.figure("0.921261"), "0.9213"),
        (wording.figure("0.000000"), "0.0000"),
        (wording.figure("nan"), "–"),
        (wording.figure("-inf"), "–"),
        (wording.figure("1e-05"), "1.0e-05"),
        (wording.figure("roc_auc"), "roc_auc"),
        (wording.figure(None), "–"),
        (wording.trimmed("50.0"), "50"),
        (wording.trimmed("99.90"), "99.9"),
        (wording.trimmed(1500.0), "1,500"),
        (wording.trimmed("100"), "100"),
        (wording.instant(AT), "2026-01-05 18:00Z"),
        (wording.instant("2026-01-05T18:00:00+01:00"), "2026-01-05 17:00Z"),
        (wording.instant(None), "–"),
        (wording.machine_instant(AT), "2026-01-05T18:00:59Z"),
        (wording.age(59.4), "59 s"),
        (wording.age(3599), "59 min"),
        (wording.age(dt.timedelta(hours=47)), "47 h"),
        (wording.age(dt.timedelta(days=30)), "30 days"),
        (wording.age(-90.0), "-1 min"),
        (wording.age(None), "–"),
        (wording.short("sha256:" + "ab" * 32), "sha256:abababababab…"),
        (wording.short(""), "–"),
        (wording.percent(0, 10), "0.0 %"),
        (wording.percent(1, 10_000), "under 0.1 %"),
        (wording.percent(1, 0), "–"),
        (wording.size(900), "900 bytes"),
        (wording.size(1 << 20), "1.0 MiB"),
        (wording.size(5 << 30), "5.0 GiB"),
        (wording.counted(1, "model waits", "models wait"), "1 model waits"),
        (wording.counted(1200, "alert"), "1,200 alerts"),
        (wording.sentence("incident_risk/1 is as signed"), "incident_risk/1 is as signed"),
        (wording.sentence("the log hashes"), "The log hashes"),
    ],
)
def test_one_form(made, wanted):
    assert made == wanted


def test_bars_fill_the_height_and_small_ones_can_be_seen():
    found = bars.draw([0, 1, 1000], ["a", "b", "c"])
    assert [bar.height for bar in found.bars] == ["0.00", "1.50", "100.00"]
    assert found.bars[2].y == "0.00"
    assert found.greatest == 1000
    assert bars.draw([], []).bars == ()
