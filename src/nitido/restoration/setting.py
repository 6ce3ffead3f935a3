"""One setting of a stage: its default, what it may be, what it means; every face reads it here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isfinite
from typing import Any

from nitido.errors import ConfigError, shown

LIST_MAX = 10_000  # of a setting; the finest comb has two thousand lines
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")  # no place in the file system, no address


@dataclass(frozen=True)
class Setting:
    """What a stage can be told; the type of `default` is that of all its values.

    Attributes:
        default: a number, switch, word, or list of numbers, one per channel or line; None without
            a range is a switch that the piece decides.
        doc: what it means.
        range: least and greatest number; None for what is no number.
        unit: of the number, such as ``"dB"``; empty for a share.
        choices: the words that it can be; empty for any name.
        nullable: None is a value too.
        measured: the plan sets it from what was found in the piece: not for the user to set.
    """

    default: Any
    doc: str
    range: tuple[float, float] | None = None
    unit: str = ""
    choices: tuple[str, ...] = ()
    nullable: bool = False
    measured: bool = False

    def check(self, name: str, value: Any) -> None:
        """Check a value of the setting called `name`, such as ``"width.amount"``.

        Raises:
            ConfigError: a wrong type, or a value out of range.
        """
        wanted = f"{name} is {shown(value)}"
        undecided = self.default is None and self.range is None
        if isinstance(self.default, bool) or undecided:
            if not (isinstance(value, bool) or (value is None and self.nullable)):
                raise ConfigError(f"{wanted}; it is a switch, true or false.")
        elif isinstance(self.default, list):
            if not isinstance(value, list) or not all(
                one is None or is_number(one) for one in value
            ):
                raise ConfigError(f"{wanted}; it is a list of numbers.")
            if len(value) > LIST_MAX:
                raise ConfigError(f"{wanted}; it holds {LIST_MAX} numbers at most.")
        elif self.choices:
            if value not in self.choices:
                raise ConfigError(f"{wanted}; it can be {' or '.join(map(repr, self.choices))}.")
        elif isinstance(self.default, str):
            if not isinstance(value, str) or not NAME.fullmatch(value):
                raise ConfigError(
                    f"{wanted}; it is a name: letters, digits, '.', '_' and '-', no path."
                )
        elif not (is_number(value) or (value is None and self.nullable)):
            off = ", or none" if self.nullable else ""
            raise ConfigError(f"{wanted}; it is a number{self._between()}{off}.")
        if self.range is not None:
            values = value if isinstance(value, list) else [value]
            if not all(one is None or self.range[0] <= one <= self.range[1] for one in values):
                raise ConfigError(f"{wanted}; it lies{self._between()}.")

    def _between(self) -> str:
        return " between {:g} and {:g}".format(*self.range) if self.range else ""


def is_number(value: Any) -> bool:
    """Return whether a JSON value is a number that a float can hold."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return isfinite(value)
    except OverflowError:  # a whole number of 310 digits
        return False
