"""What a figure carries."""

from facegen.metrics.protocol import Protocol, ratio


def test_text_names_everything() -> None:
    protocol = Protocol("Lite2", 200, "128 px", "400 kept out", seed=3)
    assert str(protocol) == "Lite2; N = 200; 128 px; 400 kept out; seed 3"
    assert str(Protocol("pixels", 2, "as they are", "all")) == "pixels; N = 2; as they are; all"


def test_ratio_says_nothing_over_a_base_that_is_not_positive() -> None:
    assert ratio(3, 2) == 1.5
    assert ratio(3, 0) is None
    assert ratio(3, -1) is None
