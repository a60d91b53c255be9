"""A tokenizer from files and to files, in a pickle, and trained anew."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from minidistil.files import replacing_all, write_file
from minidistil.hub import open_checkpoint
from minidistil.hub.upload import PushToHub
from minidistil.tokenizer.backends import build_rust, import_rust, rust_token
from minidistil.tokenizer.checkpoint_files import OWN_CLASS, read_checkpoint
from minidistil.tokenizer.decoding import TIDY
from minidistil.tokenizer.inputs import check_keywords, integer
from minidistil.tokenizer.settings import KINDS
from minidistil.tokenizer.text import Decoder
from minidistil.tokenizer.vocabulary import as_added, vocab_txt
from minidistil.tokenizer.words import Words

Kind = TypeVar("Kind", bound="Stored")

# What transformers takes and what means nothing here, whatever its value.
IGNORED = {
    "use_fast",  # both backends give the same
    "config",
    "tokenizer_type",
    "legacy",
    "resume_download",
    "mirror",
    "_from_auto",
    "_from_pipeline",
    "_commit_hash",
}
# What asks for nothing if it is false.
REFUSED = {"force_download", "proxies"}


class Stored(PushToHub, Decoder):
    """Files, pickles and training; see `DistilBertTokenizer`."""

    _own_files = re.compile(
        r"vocab\.txt|tokenizer\.json|tokenizer_config\.json|"
        r"special_tokens_map\.json|added_tokens\.json"
    )

    @classmethod
    def from_pretrained(
        cls: type[Kind],
        source: str | os.PathLike[str] | None = None,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
        subfolder: str | None = None,
        trust_remote_code: bool | None = None,
        **settings: Any,
    ) -> Kind:
        """Load the tokenizer of a checkpoint.

        Args:
            source: "tiny" (the bundled one), a repository on the hub, or a folder with
                `vocab.txt` or `tokenizer.json`; `pretrained_model_name_or_path` is the
                same.
            revision: The branch, tag or commit on the hub.
            token: The access token for the hub.
            cache_dir: Where hub files are kept, if not in the usual place.
            local_files_only: Whether to do without network.
            subfolder: Of a folder: where in it the tokenizer lies.
            trust_remote_code: No code of a checkpoint is ever run.
            settings: Arguments of `DistilBertTokenizer` that go before those in the
                files, such as `backend="python"` or `do_lower_case=False`;
                `added_tokens` come behind those of the files. What transformers takes
                and what means nothing here, such as `use_fast`, is ignored.

        Raises:
            CheckpointNotFoundError: There is no such checkpoint or no vocabulary in it.
            TypeError: An argument does not exist, or asks for what is not done here.
            ValueError: The files are broken, or are not those of a BERT tokenizer.

        Warns:
            UserWarning: `trust_remote_code=True` has no effect.
        """
        same = settings.pop("pretrained_model_name_or_path", None)
        source = same if source is None else source
        if trust_remote_code:
            warnings.warn(
                "trust_remote_code=True has no effect: no code of a checkpoint is ever "
                "run",
                stacklevel=2,
            )
        asked = {
            name: value
            for name, value in settings.items()
            if name not in IGNORED and (value or name not in REFUSED)
        }
        check_keywords("from_pretrained()", asked, cls.from_pretrained, cls)
        where: Any = source  # None is refused with a sentence
        if subfolder:
            where = Path(os.fspath(source or "")).expanduser() / subfolder
        files = open_checkpoint(
            where,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
        )
        try:
            found = {"name_or_path": str(source)} | read_checkpoint(files)
            more = asked.pop("added_tokens", ())
            found["added_tokens"] = [*found["added_tokens"], *more]
            return cls(**(found | asked))
        except (ValueError, TypeError) as error:
            raise type(error)(f"the tokenizer of {files}: {error}") from error

    def save_pretrained(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        save_directory: str | os.PathLike[str] | None = None,
        legacy_format: bool | None = None,
        **unknown: Any,
    ) -> tuple[str, ...]:
        """Write `vocab.txt`, `tokenizer_config.json` and `tokenizer.json`.

        transformers and `tokenizers` read them and give the same results. If the
        process is killed meanwhile, the folder holds the old tokenizer, the new one, or
        one that cannot be loaded; never words of one with settings of the other.

        Args:
            folder: Where to write; it is made if need be.
            save_directory: Another name of the same.
            legacy_format: Ignored: both formats are written.
            unknown: Anything else is a mistake.

        Returns:
            The paths written.
        """
        asked = {name: value for name, value in unknown.items() if value}
        check_keywords("save_pretrained()", asked, self.save_pretrained)
        folder = save_directory if folder is None else folder
        if folder is None:
            raise TypeError("save_pretrained() needs the folder to write to")
        state = self._state
        config = {
            # The generic class is what tokenizer.json says, also of decoding.
            "tokenizer_class": OWN_CLASS
            if self._joining == TIDY
            else "PreTrainedTokenizerFast",
            **{name: getattr(self, name) for name in KINDS},
            **state.named,
            # The name that every version of transformers reads.
            "additional_special_tokens": [*state.extra],
            # Where it is there, older files of other names are not read.
            "added_tokens_decoder": {
                str(token.id): {"content": token.content, **token.flags()}
                for token in state.recipe.added
            },
        }
        contents = {
            "vocab.txt": vocab_txt(state.recipe.vocab),
            "tokenizer_config.json": _as_json(config),
            "tokenizer.json": self.backend_tokenizer.to_str(pretty=True),
        }
        paths = {name: Path(folder) / name for name in contents}
        # Nothing can be loaded without words: those go first, and come last.
        words = (paths["vocab.txt"], paths["tokenizer.json"])
        order = ("tokenizer_config.json", "vocab.txt", "tokenizer.json")
        with replacing_all(
            *(paths[name] for name in order), remove_first=words
        ) as temporaries:
            for name, temporary in zip(order, temporaries, strict=True):
                temporary.write_bytes(contents[name].encode())
        return tuple(map(str, paths.values()))

    def save_vocabulary(
        self,
        save_directory: str | os.PathLike[str],
        filename_prefix: str | None = None,
    ) -> tuple[str]:
        """Write `vocab.txt` alone, without added tokens; the path is returned."""
        name = f"{filename_prefix}-vocab.txt" if filename_prefix else "vocab.txt"
        path = Path(save_directory) / name
        write_file(path, vocab_txt(self._state.recipe.vocab).encode())
        return (str(path),)

    # A pickle holds what makes an equal tokenizer, and always in the same bytes:
    # `datasets` looks up by them what it has computed before.

    def __getstate__(self) -> dict[str, Any]:
        own = {*self._settings(), "_state", "_joining", "deprecation_warnings"}
        others = {
            name: value for name, value in self.__dict__.items() if name not in own
        }
        return {"settings": json.dumps(self._settings()), "others": others}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        Words.__init__(self, **json.loads(state["settings"]))
        self.__dict__.update(state["others"])

    def train_new_from_iterator(
        self: Kind,
        text_iterator: Iterable[str] | Iterable[list[str]],
        vocab_size: int,
        length: int | None = None,
        new_special_tokens: Iterable[Any] | None = None,
        special_tokens_map: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Kind:
        """A tokenizer with the same settings and a vocabulary made from other texts.

        Args:
            text_iterator: The texts, or lists of texts.
            vocab_size: How many tokens it has at most, special ones included.
            length: The number of texts, for the progress bar.
            new_special_tokens: Special tokens beside those that there are.
            special_tokens_map: Other names for special tokens, as {"[SEP]": "</s>"}.
            options: Of `tokenizers.trainers.WordPieceTrainer`, as `min_frequency=2`.
        """
        new_names = dict(special_tokens_map or {})
        new = [as_added(token, special=True) for token in new_special_tokens or ()]
        recipe, state = self._state.recipe, self._state
        specials = [
            token._replace(content=new_names.get(token.content, token.content))
            for token in recipe.added
            if token.special
        ]
        specials += new
        trainer = import_rust().trainers.WordPieceTrainer(
            vocab_size=integer("vocab_size", vocab_size, 1),
            special_tokens=[rust_token(token) for token in specials],
            **options,
        )
        unknown = new_names.get(recipe.unk_token, recipe.unk_token)
        empty = replace(recipe, vocab={}, added=(), unk_token=unknown)
        rust = build_rust(empty)
        rust.train_from_iterator(text_iterator, trainer=trainer, length=length)
        vocab = rust.get_vocab(with_added_tokens=False)
        settings = self._settings()
        named = {name: new_names.get(one, one) for name, one in state.named.items()}
        for name in settings.keys() & named.keys():
            settings[name] = named.pop(name)
        return type(self)(
            **settings
            | {
                "vocab": vocab,
                "model_specific_special_tokens": named,
                "extra_special_tokens": [
                    *(new_names.get(one, one) for one in state.extra),
                    *(token.content for token in new),
                ],
                "added_tokens": [
                    token._replace(id=vocab[token.content]) for token in specials
                ],
            }
        )


def _as_json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
