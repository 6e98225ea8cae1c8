"""What values a setting can take, as text (flags, environment) and as TOML.

A value has the same form wherever it came from: text, number, truth value, path, or a tuple of
texts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from ironmesh.errors import ConfigError

Value = str | int | float | bool | Path | tuple[str, ...] | None
Check = Callable[[str], object]
"""Raises `ConfigError` for a text that is no such value."""

_YES: Final = frozenset({"1", "true", "yes", "on"})
_NO: Final = frozenset({"0", "false", "no", "off"})


class Kind(Protocol):
    """How the values of a setting are read and written."""

    @property
    def metavar(self) -> str:
        """What stands for a value in `--help`; empty where a flag takes none."""
        ...

    @property
    def toml_type(self) -> str:
        """What a person writes in a file, for the manual."""
        ...

    def from_text(self, text: str) -> Value:
        """Read a value of a flag or an environment variable.

        Raises:
            ConfigError: it is none; the text says what it should be, not where it stood.
        """
        ...

    def from_toml(self, value: object, folder: Path, /) -> Value:
        """Read a value of a file in `folder`.

        Raises:
            ConfigError: it is none; the text says what it should be, not where it stood.
        """
        ...


@dataclass(frozen=True, slots=True)
class Text:
    """Text that a check accepts."""

    check: Check = str
    metavar: str = "TEXT"
    toml_type: str = "text"

    def from_text(self, text: str) -> str:
        """Return the text."""
        self.check(text)
        return text

    def from_toml(self, value: object, _folder: Path, /) -> str:
        """Return the text."""
        return self.from_text(_text(value))


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def metavar(self) -> str:
        """The words."""
        return f"[{'|'.join(self.words)}]"

    @property
    def toml_type(self) -> str:
        """The words."""
        return " \\| ".join(f'`"{word}"`' for word in self.words)

    def from_text(self, text: str) -> str:
        """Return the word, spelled as in the list."""
        for word in self.words:
            if word.lower() == text.strip().lower():
                return word
        raise ConfigError(f"{text!r} is unknown", f"use one of {', '.join(self.words)}")

    def from_toml(self, value: object, _folder: Path, /) -> str:
        """Return the word, spelled as in the list."""
        return self.from_text(_text(value))


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number within bounds."""

    least: int = 0
    most: int | None = None
    metavar: str = "N"
    toml_type: str = "whole number"

    def from_text(self, text: str) -> int:
        """Return the number."""
        try:
            number = int(text)
        except ValueError:
            raise self._refused(text) from None
        return self._bounded(number)

    def from_toml(self, value: object, _folder: Path, /) -> int:
        """Return the number."""
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._refused(value)
        return self._bounded(value)

    def _bounded(self, number: int) -> int:
        if number < self.least or (self.most is not None and number > self.most):
            raise self._refused(number)
        return number

    def _refused(self, value: object) -> ConfigError:
        most = "up" if self.most is None else f"to {self.most}"
        return ConfigError(
            f"{value!r} is not a whole number from {self.least} {most}", _number_fix(value)
        )


@dataclass(frozen=True, slots=True)
class Seconds:
    """A time in seconds."""

    least: float = 0.0
    metavar: str = "SECONDS"
    toml_type: str = "seconds"

    def from_text(self, text: str) -> float:
        """Return the seconds."""
        try:
            return self._bounded(float(text))
        except ValueError as error:
            if isinstance(error, ConfigError):
                raise
            raise self._refused(text) from None

    def from_toml(self, value: object, _folder: Path, /) -> float:
        """Return the seconds."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self._refused(value)
        return self._bounded(float(value))

    def _bounded(self, seconds: float) -> float:
        if not math.isfinite(seconds) or seconds < self.least:
            raise self._refused(seconds)
        return seconds

    def _refused(self, value: object) -> ConfigError:
        return ConfigError(
            f"{value!r} is not a number of seconds from {self.least:g} up", _number_fix(value)
        )


@dataclass(frozen=True, slots=True)
class Switch:
    """On or off."""

    metavar: str = ""
    toml_type: str = "`true` \\| `false`"

    def from_text(self, text: str) -> bool:
        """Return whether it is on."""
        word = text.strip().lower()
        if word not in _YES | _NO:
            raise ConfigError(
                f"{text!r} is neither on nor off", "use 1, true, yes, on, or 0, false, no, off"
            )
        return word in _YES

    def from_toml(self, value: object, _folder: Path, /) -> bool:
        """Return whether it is on."""
        if not isinstance(value, bool):
            raise ConfigError(
                f"{value!r} is neither true nor false", "write true or false, without quotes"
            )
        return value


@dataclass(frozen=True, slots=True)
class FilePath:
    """A path: `~` is the user's home; a relative one starts at the file that names it."""

    metavar: str = "FILE"
    toml_type: str = "path"

    def from_text(self, text: str) -> Path:
        """Return the absolute path; a relative one starts at the working folder."""
        return self._absolute(text, Path.cwd())

    def from_toml(self, value: object, folder: Path, /) -> Path:
        """Return the absolute path."""
        return self._absolute(_text(value), folder)

    def _absolute(self, text: str, folder: Path) -> Path:
        if not text or "\0" in text:
            raise ConfigError(f"{text!r} is not a path", "write the path of a file")
        try:
            return folder / Path(text).expanduser()
        except RuntimeError:
            raise ConfigError(
                f"{text!r} names a home folder that does not exist", "write the whole path"
            ) from None


@dataclass(frozen=True, slots=True)
class Listing:
    """Texts that a check accepts; as text separated by commas."""

    check: Check = str
    metavar: str = "NAMES"
    toml_type: str = "list of texts"

    def from_text(self, text: str) -> tuple[str, ...]:
        """Return the texts."""
        return self.checked([part.strip() for part in text.split(",") if part.strip()])

    def from_toml(self, value: object, _folder: Path, /) -> tuple[str, ...]:
        """Return the texts."""
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ConfigError(f"{value!r} is not a list of texts", 'write it as in ["one", "two"]')
        return self.checked(value)

    def checked(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Return texts that are already apart.

        Raises:
            ConfigError: one of them is not accepted.
        """
        for text in texts:
            self.check(text)
        return tuple(texts)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{value!r} is not text", "write it in quotes")
    return value


def _number_fix(value: object) -> str:
    return "write a number, without quotes" if isinstance(value, str) else "use such a number"
