"""Pages in a real browser (Debian's chromium, headless), for tests; they are skipped where there is none."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync", "--mute-audio"),
    *("--disable-background-networking", "--disable-component-update", "--enable-logging=stderr", "--virtual-time-budget=4000"),
)
_PROBE = """
<script>
addEventListener("load", async () => {
  const players = [...document.querySelectorAll("audio")];
  await Promise.all(players.map((a) => a.readyState ? 0 : new Promise((done) => { a.onloadedmetadata = done; a.onerror = done; })));
  const found = {
    page_width: document.documentElement.scrollWidth, window_width: document.documentElement.clientWidth,
    durations: players.map((a) => a.duration), headings: [...document.querySelectorAll("h1, h2")].map((h) => h.textContent.trim()),
    images: [...document.images].map((i) => i.naturalWidth), svgs: document.querySelectorAll("svg").length,
    requests: performance.getEntriesByType("resource").map((r) => r.name).filter((name) => !name.startsWith("data:")),
    unnamed: [...document.querySelectorAll("button, audio, svg, [role=region]")].filter((e) => !e.getAttribute("aria-label")).length,
  };
  document.body.insertAdjacentHTML("beforeend", `<pre id="probe">${JSON.stringify(found)}</pre>`);
});
</script>
"""


def look_at(page: Path, scratch: Path, *, width: int = 1200) -> tuple[dict[str, Any], list[str]]:
    """What a browser finds in a page (sizes, durations of the audio, requests made...), and the lines of its console."""
    assert CHROMIUM is not None
    copy = scratch / f"probed-{width}.html"
    copy.write_text(page.read_text(encoding="utf-8").replace("</body>", f"{_PROBE}</body>"), encoding="utf-8")
    arguments = [
        CHROMIUM,
        *_FLAGS,
        f"--user-data-dir={scratch / f'profile-{width}'}",
        f"--window-size={width},900",
        "--dump-dom",
        copy.as_uri(),
    ]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=True)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(done.stdout.rpartition('<pre id="probe">')[2].partition("</pre>")[0]), console
