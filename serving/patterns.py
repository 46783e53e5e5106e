"""The `pattern` of an input schema: asked in time linear in the string, whatever the pattern.

Python's own engine goes back and tries again: with a pattern such as `(a+)+$` a string of forty
characters takes it longer than anyone waits, and the event loop waits with it. The engine that
pydantic brings, Rust's `regex`, follows all ways at once; what it cannot do so, look-around and
references back, it refuses when the pattern is compiled.
"""

from pydantic_core import SchemaError, SchemaValidator, core_schema

LONGEST = 2048
"""Characters of a string that a pattern is asked of: time is linear in the pattern's states too,
and counted repetitions make thousands of them."""


class Pattern:
    """A regular expression that is looked for anywhere in a string."""

    __slots__ = ("_fits", "text")

    def __init__(self, text: str) -> None:
        """Compile a pattern.

        Raises
        ------
        ValueError
            If it is none, takes more than linear time, or more than 10 MiB compiled; says which.
        """
        self.text = text
        try:
            schema = core_schema.str_schema(
                pattern=text, regex_engine="rust-regex", max_length=LONGEST, strict=True
            )
            self._fits = SchemaValidator(schema).isinstance_python
        except SchemaError as error:
            # The sentence is the last line; those before it draw where in the pattern.
            reason = str(error).splitlines()[-1].strip()
            raise ValueError(reason.removeprefix("SchemaError: ").removeprefix("error: ")) from None

    def __str__(self) -> str:
        return f"matching {self.text} in at most {LONGEST} characters"

    def fits(self, value: str) -> bool:
        """Whether the string holds a match and is no longer than `LONGEST`."""
        return self._fits(value)
