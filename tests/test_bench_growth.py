"""What `growth` makes of its steps: as many rows as were asked for, and a picture that can be looked at anywhere."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.chart import Panel, _ceiling, drawn
from bench.scenario import all_scenarios
from include.errors import MillraceError

SVG = "{http://www.w3.org/2000/svg}"


def test_steps_are_always_so_many_times_as_many() -> None:
    """From the least to the most, both included."""
    growth = all_scenarios()["growth"].module
    assert growth._counts(growth.Options()) == [100, 316, 1000, 3162, 10_000]
    assert growth._counts(growth.SMALL) == [20, 40]
    assert growth._counts(growth.Options(steps=1)) == [100]


def test_every_point_is_in_the_picture() -> None:
    """Each panel has its title, a line, and a dot for each point within its frame, also where nothing was used."""
    points = [(100, 0.0), (1000, 3.2), (10_000, 4.0)]
    text = drawn([Panel("A <call>", "ms", points), Panel("b", "s", [(1, 0.0)])], "jobs")
    picture = ElementTree.fromstring(text)  # noqa: S314 - made by us
    dots = [(float(dot.get("cx") or -1), float(dot.get("cy") or -1)) for dot in picture.iter(f"{SVG}circle")]
    assert len(dots) == 4
    assert dots[0][0] < dots[1][0] < dots[2][0] < dots[3][0] < float(picture.get("width") or 0)
    assert dots[0][1] > dots[1][1] > dots[2][1] > 0
    texts = [found.text for found in picture.iter(f"{SVG}text")]
    assert {"A <call>", "ms", "1k", "10k", "jobs"} <= set(texts)


@pytest.mark.parametrize(("most", "top"), [(0.0, 1.0), (0.03, 0.05), (1.0, 1.0), (1.1, 2.0), (51.0, 100.0)])
def test_scales_end_in_round_numbers(most: float, top: float) -> None:
    """The smallest of 1, 2 and 5, with noughts, that has room for everything."""
    assert _ceiling(most) == pytest.approx(top)


def test_a_picture_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """Before anybody looks for it."""
    growth = all_scenarios()["growth"].module
    with pytest.raises(MillraceError, match=r"growth\.svg cannot be written: No such file"):
        growth._draw(tmp_path / "nowhere" / "growth.svg", [growth.Cost(10, 0.001, 0.02, 3.0)])
