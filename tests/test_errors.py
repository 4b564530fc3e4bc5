import pytest

from prismrec.errors import InputError, parse_json


@pytest.mark.parametrize("separator", ["\n", "\r", "\x0b", "\x0c", "\x1c", "\x1e", "\x85", "\u2028", "\u2029", "\r\n"])
def test_a_message_is_one_line(separator: str) -> None:
    message = str(InputError(f"a{separator}b.csv", "this", "that"))
    assert len(message.splitlines()) == 1
    assert message.endswith("b.csv: found this; expected that")


def test_a_message_neither_controls_a_terminal_nor_breaks_an_encoder() -> None:
    message = str(InputError("\x1b[31mred", "caf\udce9", "ein Café ☕"))
    assert message == r"\x1b[31mred: found caf\udce9; expected ein Café ☕"


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 100_000, b"[" * 200_000])
def test_json_of_any_depth_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError, match="too many levels"):
        parse_json(text)


@pytest.mark.parametrize("text", [r'"\ud800"', r'{"a": ["\uDFFF"]}', rb'{"\ud83d": 1}'])
def test_half_of_a_surrogate_pair_in_json_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError, match="half of a surrogate pair"):
        parse_json(text)
    assert parse_json(r'"\ud83d\ude00"') == "😀"
