"""Put a checkpoint on the hub, with a card that says what is known of it.

    python scripts/publish.py --dry-run tiny someone/a-model
    python scripts/publish.py my-folder someone/a-model --private --metric accuracy=0.91

The checkpoint is loaded and verified before anything is sent; a dry run does only that,
and shows the files and the card. The token is the one of ``hf auth login``, or
HF_TOKEN. The same as ``minidistil weights publish``.
"""

from __future__ import annotations

from minidistil.cli.publish import publish

if __name__ == "__main__":
    publish()
