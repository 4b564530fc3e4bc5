import pytest

from prismrec.errors import InputError


@pytest.mark.parametrize("separator", ["\n", "\r", "\x0b", "\x0c", "\x1c", "\x1e", "\x85", "\u2028", "\u2029", "\r\n"])
def test_a_message_is_one_line(separator: str) -> None:
    message = str(InputError(f"a{separator}b.csv", "this", "that"))
    assert len(message.splitlines()) == 1
    assert message.endswith("b.csv: found this; expected that")


def test_a_message_neither_controls_a_terminal_nor_breaks_an_encoder() -> None:
    message = str(InputError("\x1b[31mred", "caf\udce9", "ein Café ☕"))
    assert message == r"\x1b[31mred: found caf\udce9; expected ein Café ☕"
