"""Write .dvc/plots.html, the page of `dvc plots`, with the plotting library in it: DVC's own page fetches it from a network."""

from pathlib import Path

import vl_convert

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{refresh_tag}
<title>Plots</title>
<link rel="icon" href="data:,">
<style>body {{ font-family: sans-serif; margin: 1rem; }} table {{ border-spacing: 1rem; }} img {{ max-width: 100%; }}</style>
<script>(function () {{ {library} }})();</script>
</head>
<body>
{plot_divs}
</body>
</html>
"""

library = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
if "</script" in library:
    raise SystemExit("the library would end its own script element")
page = PAGE.format(library=library, refresh_tag="{refresh_tag}", plot_divs="{plot_divs}")
Path(__file__).resolve().parent.parent.joinpath(".dvc", "plots.html").write_text(page, encoding="utf-8")
