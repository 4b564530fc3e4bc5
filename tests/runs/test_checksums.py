"""A run notices files that it did not write."""

from pathlib import Path

import pytest

from prismrec.errors import InputError
from prismrec.runs.checksums import check_files, checksum

SIZES = [0, 1, 1 << 20, (1 << 20) + 1, (5 << 20) + 3]


@pytest.mark.parametrize("size", SIZES)
def test_the_same_file_passes_and_another_size_does_not(tmp_path: Path, size: int) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * size)
    checksums = {"file": checksum(file)}
    check_files(tmp_path, checksums)
    check_files(tmp_path, checksums, whole=True)
    file.write_bytes(b"x" * (size + 1))
    with pytest.raises(InputError, match="other contents"):
        check_files(tmp_path, checksums)


@pytest.mark.parametrize("position", [0, 1000, -1000, -1])
def test_a_changed_byte_near_an_end_is_found_at_once(tmp_path: Path, position: int) -> None:
    file = tmp_path / "file"
    contents = bytearray(5 << 20)
    file.write_bytes(contents)
    checksums = {"file": checksum(file)}
    contents[position] = 1
    file.write_bytes(contents)
    with pytest.raises(InputError, match="other contents"):
        check_files(tmp_path, checksums)


def test_a_changed_byte_in_the_middle_is_found_by_a_whole_check(tmp_path: Path) -> None:
    file = tmp_path / "file"
    contents = bytearray(5 << 20)
    file.write_bytes(contents)
    checksums = {"file": checksum(file)}
    contents[len(contents) // 2] = 1
    file.write_bytes(contents)
    check_files(tmp_path, checksums)
    with pytest.raises(InputError, match="other contents"):
        check_files(tmp_path, checksums, whole=True)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    checksums = {"file": checksum(file)}
    file.unlink()
    with pytest.raises(InputError, match="file: found no file"):
        check_files(tmp_path, checksums)
