"""Pages to look at: each is one HTML file that needs no network, build or library.

A page is drawn by its script from the data beside it. What all pages share is here:
their frame, with a policy that lets them ask for nothing; the look, in both themes; the
tools of their scripts (``assets/base.js``).
"""

from __future__ import annotations

from minidistil.pages.offline import offline_page

__all__ = ["offline_page"]
