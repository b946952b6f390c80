"""Write icons.svg from the outlines named in names.txt: `python build.py <folder of outline icons>`."""

import re
import sys
from pathlib import Path

here = Path(__file__).parent
symbols = []
for name in (here / "names.txt").read_text().split():
    inner = re.search(r"<svg[^>]*>(.*)</svg>", (Path(sys.argv[1]) / f"{name}.svg").read_text(), re.DOTALL)
    if inner is None:
        raise SystemExit(f"{name}.svg has no drawing")
    symbols.append(f'<symbol id="{name}" viewBox="0 0 24 24">{" ".join(inner[1].split())}</symbol>')
(here / "icons.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg">\n' + "\n".join(symbols) + "\n</svg>\n")
