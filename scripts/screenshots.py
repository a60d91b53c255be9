"""Draw the README's two pictures of the page: a wide one, and a phone's in the dark.

    python scripts/screenshots.py

Both show one sentence and the model that comes with the package. It needs Chromium
(on Debian, `apt-get install chromium`) and Playwright (`pip install playwright`).
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import click

from minidistil import explain

FOLDER = Path(__file__).parent / "screenshots"
SENTENCE = "I hate this unwatchable film!"
# What stands at the top of the picture, and how the page is looked at.
ADDRESS = "#layer=5&head=5&query=2"
LOOKS: dict[str, tuple[str, dict[str, Any]]] = {
    "wide.png": (
        "header",
        {"viewport": {"width": 1440, "height": 1400}, "color_scheme": "light"},
    ),
    "phone.png": (
        "#attribution",
        {
            "viewport": {"width": 390, "height": 844},
            "device_scale_factor": 2,
            "color_scheme": "dark",
        },
    ),
}


@click.command(help=__doc__.replace("\n\n", "\n\n\b\n"))
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=FOLDER,
    help="The folder to draw into.  [default: beside this script]",
)
def main(output: Path) -> None:
    """Make the page of a sentence, and draw it twice."""
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        page = explain(SENTENCE, "tiny").save(Path(folder) / "page.html")
        for path in draw(page, output):
            click.echo(f"{path.stat().st_size:9,} bytes  {path}")


def draw(page: Path, output: Path) -> list[Path]:
    """Draw a page from the disk, and return the pictures."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        raise click.ClickException("no Playwright: pip install playwright") from None
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise click.ClickException("no Chromium: on Debian, apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        for name, (top, look) in LOOKS.items():
            context = browser.new_context(offline=True, **look)
            tab = context.new_page()
            tab.goto(page.as_uri() + ADDRESS)
            tab.wait_for_selector("html[data-ready]", state="attached")
            tab.locator(top).evaluate("node => node.scrollIntoView()")
            tab.screenshot(path=output / name)
            context.close()
        browser.close()
    return [output / name for name in LOOKS]


if __name__ == "__main__":
    main()
