"""What the installed ``tokenizers`` library makes of every code point, in the form of ``unicode_tables.py``."""

import unicodedata
from collections.abc import Callable, Iterable
from textwrap import wrap

from tokenizers import normalizers, pre_tokenizers

CODE_POINTS = [point for point in range(0x110000) if not 0xD800 <= point < 0xE000]


def normalizer(**steps: bool) -> Callable[[str], str]:
    """BERT's normaliser with the named steps only."""
    every = dict.fromkeys(("clean_text", "handle_chinese_chars", "strip_accents", "lowercase"), False)
    return normalizers.BertNormalizer(**{**every, **steps}).normalize_str


def tables() -> dict[str, set[int]]:
    """Every table of ``unicode_tables.py`` as the library has it."""
    clean, chinese = normalizer(clean_text=True), normalizer(handle_chinese_chars=True)
    strip, lower, nfd = normalizer(strip_accents=True), normalizer(lowercase=True), normalizers.NFD().normalize_str
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    words = {point: len(split(f"a{chr(point)}b")) for point in CODE_POINTS}
    decomposed = {point: nfd(chr(point)) for point in CODE_POINTS}
    return {
        "REMOVED": {point for point in CODE_POINTS if not clean(chr(point))},
        "WHITESPACE": {point for point, count in words.items() if count == 2},
        "CHINESE": {point for point in CODE_POINTS if len(chinese(chr(point))) == 3},
        "PUNCTUATION": {point for point, count in words.items() if count == 3},
        "MARKS": {point for point in CODE_POINTS if not strip(chr(point))},
        # A mark whose combining class is known changes places with a neighbour of another class.
        "CLASSED": {
            point
            for point in CODE_POINTS
            if (kind := unicodedata.combining(chr(point)))
            and (nfd(f"a{chr(point)}\u0334")[1] == "\u0334" if kind > 1 else nfd(f"a\u0301{chr(point)}")[2] == "\u0301")
        },
        "UNDECOMPOSED": {
            point for point, text in decomposed.items() if text != unicodedata.normalize("NFD", chr(point))
        },
        "LATER_LOWER": {point for point in CODE_POINTS if lower(chr(point)) != chr(point).lower()},
    }


def ranges(points: Iterable[int]) -> list[str]:
    """``points`` as hexadecimal ranges."""
    runs: list[list[int]] = []
    for point in sorted(points):
        if runs and runs[-1][1] == point - 1:
            runs[-1][1] = point
        else:
            runs.append([point, point])
    return [f"{first:X}" if first == last else f"{first:X}-{last:X}" for first, last in runs]


if __name__ == "__main__":
    for name, points in tables().items():
        print(f'{name} = _ranges("""')
        print("\n".join(f"    {line}" for line in wrap(" ".join(ranges(points)), 104)))
        print('""")')
