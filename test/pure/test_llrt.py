"""Which files pass as an LLRT binary."""

from __future__ import annotations

import os
import platform
import struct
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dify_cdk.options.llrt import check_bootstrap
from dify_cdk.options.sizes import Architecture

X86_64, AARCH64 = 62, 183


def elf(
    machine: int = AARCH64, *, bits: int = 2, encoding: int = 1, kind: int = 3, entry: int = 0x1000
) -> bytes:
    """The header of an ELF file, with some of the program behind it."""
    order = "<" if encoding == 1 else ">"
    identification = b"\x7fELF" + bytes([bits, encoding, 1]) + bytes(9)
    fields = struct.pack(f"{order}HHIQQQIHHHHHH", kind, machine, 1, entry, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    return identification + fields + bytes(200)


@pytest.fixture
def bootstrap(tmp_path: Path) -> Path:
    return tmp_path / "bootstrap"


@pytest.mark.parametrize(
    ("machine", "expected"), [(X86_64, Architecture.X86_64), (AARCH64, Architecture.ARM64)]
)
@pytest.mark.parametrize("kind", [2, 3], ids=["fixed address", "any address"])
def test_tells_the_processor(bootstrap: Path, machine: int, expected: Architecture, kind: int) -> None:
    bootstrap.write_bytes(elf(machine, kind=kind))
    assert check_bootstrap(bootstrap) is expected
    assert check_bootstrap(str(bootstrap)) is expected


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in {"x86_64", "aarch64"},
    reason="needs a program that Lambda could run",
)
def test_a_real_program_passes() -> None:
    expected = Architecture.X86_64 if platform.machine() == "x86_64" else Architecture.ARM64
    assert check_bootstrap(Path(sys.executable).resolve()) is expected


def test_the_mode_does_not_matter(bootstrap: Path) -> None:
    bootstrap.write_bytes(elf())
    bootstrap.chmod(0o600)
    assert not bootstrap.stat().st_mode & 0o111 or os.name == "nt"
    assert check_bootstrap(bootstrap) is Architecture.ARM64


def test_fails_when_there_is_no_file(bootstrap: Path) -> None:
    with pytest.raises(ValueError, match=r"llrt_bootstrap must be an existing file, got .*bootstrap: give"):
        check_bootstrap(bootstrap)


def test_fails_when_it_is_the_folder_of_the_file(bootstrap: Path) -> None:
    with pytest.raises(ValueError, match=r"llrt_bootstrap must be a file, got the folder .*: give the file"):
        check_bootstrap(bootstrap.parent)


def test_fails_when_it_is_the_archive(bootstrap: Path) -> None:
    with zipfile.ZipFile(bootstrap, "w") as archive:
        archive.writestr("bootstrap", elf())
    with pytest.raises(ValueError, match="bootstrap is a zip archive: unzip it first and give the file"):
        check_bootstrap(bootstrap)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "is empty$"),
        (b"hello", r"is no Linux program \(ELF file\)$"),
        (b"#!/bin/sh\nexec node\n", "is a script$"),
        (b"MZ\x90\x00", "is a Windows program$"),
        (b"\xcf\xfa\xed\xfe\x0c\x00\x00\x01", "is a macOS program$"),
        (b"\x7fELF", "is cut off: download it again$"),
        (elf()[:31], "is cut off: download it again$"),
        (elf(40, bits=1), "is a 32-bit program$"),
        (elf(X86_64, bits=1), "is a 32-bit program$"),
        (elf(243), "is built for a processor that Lambda does not have$"),
        (elf(AARCH64, encoding=2), "is built for a processor that Lambda does not have$"),
        (elf(kind=1), "is no program, but a library"),
        (elf(kind=4), "is no program, but a library"),
        (elf(entry=0), "is no program, but a library"),
    ],
    ids=[
        *("empty", "text", "script", "windows", "macos", "magic only", "one byte short", "arm32", "x32"),
        *("riscv", "big endian", "object file", "core dump", "library"),
    ],
)
def test_fails_when_lambda_could_not_run_it(bootstrap: Path, data: bytes, problem: str) -> None:
    bootstrap.write_bytes(data)
    with pytest.raises(ValueError, match=f"^llrt_bootstrap must be a 64-bit Linux program.*{problem}"):
        check_bootstrap(bootstrap)


@given(data=st.binary(max_size=80), start=st.sampled_from([b"", b"\x7fELF", b"\x7fELF\x02\x01"]))
def test_any_file_passes_or_is_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, start: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any-file"
    path.write_bytes(start + data)
    try:
        architecture = check_bootstrap(path)
    except ValueError as error:
        assert "any-file" in str(error)
    else:
        whole = start + data
        assert whole[:5] == b"\x7fELF\x02"
        assert whole[18] == {Architecture.X86_64: X86_64, Architecture.ARM64: AARCH64}[architecture]
