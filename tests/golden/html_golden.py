"""Writes html_references.json: texts with character references and what Python's html.unescape makes of them.

    html_golden.py

Named references carry their semicolon and are those of HTML 4 (html.entities.name2codepoint), which berth knows all; numeric ones
are legal, forbidden and absurd.
"""
import html
import html.entities
import json
import os
import random

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    names = sorted(html.entities.name2codepoint) + ["apos"]
    cases = [f"&{name};" for name in names]
    edges = [0x7F, 0xFDCF, 0xFDD0, 0xFDEF, 0xFDF0, 0xD7FF, 0xD800, 0xDFFF, 0xE000, 0xFFFD, 0xFFFE, 0xFFFF, 0x1F600, 0x1FFFE, 0x10FFFD,
             0x10FFFF, 0x110000, 2**31, 2**32 + 65, 2**64 + 65, 10**40]
    for number in list(range(0xA2)) + edges:
        cases += [f"&#{number};", f"x&#x{number:x} y", f"&#X{number:X};z"]
    cases += ["&", "&;", "&#;", "&#x;", "&#xg;", "&#39", "&#39&#39;", "&amp;lt;", "&amp;amp;lt;", "&lt;b&gt;", "AT&T", "a && b", "&#039;",
              "&#00000000000000000000000065;", "&xyz;", "&lt", "& lt;", "&#x 41;"]
    cases.remove("&lt")  # berth asks for the semicolon, so that "?a=1&lt=2" stays
    draw = random.Random(42)
    for _ in range(300):
        parts = [f"&{draw.choice(names)};", f"&#{draw.randrange(1, 0x3000)};", " the film", "é", "&", ";", "#", " 5"]
        text = "".join(draw.choice(parts) for _ in range(8))
        # A bare "&" before ";" or a name would be read as a legacy reference by Python alone.
        cases.append(text.replace("&&", "& &"))
    with open(os.path.join(HERE, "html_references.json"), "w", encoding="utf-8") as out:
        json.dump([[text, html.unescape(text)] for text in cases], out, ensure_ascii=True, separators=(",", ":"))
        out.write("\n")


if __name__ == "__main__":
    main()
