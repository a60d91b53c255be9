"""A pipeline as a function of batches of rows, which can be sent to workers."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path
from threading import Lock
from typing import Any

from minidistil.engine.forked import computed
from minidistil.messages import quote
from minidistil.pipelines import TASKS, Pipeline, check_options, pipeline
from minidistil.pipelines.loading import Model
from minidistil.tables.answering import Answering, Reading
from minidistil.tables.batches import names_of, rows_of, with_columns

# The pipeline that was loaded last for a copy that came by pickle, and what it is: a
# pool sends a copy with every batch. One alone, for it is large.
_LOADED: dict[bytes, Pipeline[Any]] = {}
_LOADING = Lock()


class Annotator:
    """Adds the answers of a pipeline to batches of rows.

    >>> from minidistil import Annotator
    >>> annotate = Annotator("text-classification", "tiny", column="review")
    >>> annotate({"id": [7], "review": ["I hate this so much!"]})["label"]
    ['NEGATIVE']

    A batch is a dict of columns (lists, or numpy arrays), a pyarrow Table or
    RecordBatch, or a pandas DataFrame; it comes back as what it was, with new columns.
    What these hold, and how null is written, says `minidistil.tables.batches`. The
    types of Arrow are the same for every batch; a list of nulls alone has none.

    It can be pickled, and is then a few hundred bytes: the model is named, and each
    process loads it when the first batch comes. So it fits
    ``dataset.map(annotator, batched=True, num_proc=2)`` of datasets, and Ray's
    ``map_batches(Annotator, fn_constructor_kwargs={"task": …, "model": …},
    concurrency=2)``. Threads can share one.
    """

    def __init__(
        self,
        task: str | Pipeline[Any],
        model: Model | None = None,
        *,
        column: str = "text",
        second_column: str | None = None,
        context_column: str | None = None,
        choices_column: str | None = None,
        question_column: str | None = None,
        prefix: str = "",
        strict: bool = False,
        on_error: str = "stop",
        **options: Any,
    ) -> None:
        """Say what is to be answered; nothing is loaded yet.

        Args:
            task: One of the tasks of `minidistil.pipeline`; or a pipeline, which is
                then pickled whole.
            model: See there.
            column: The column of texts; with the others, see `Reading`.
            second_column: See there.
            context_column: See there.
            choices_column: See there.
            question_column: See there.
            prefix: What the names of the new columns begin with.
            strict: Whether a row without a text is an error.
            on_error: "stop" or "null": what is done about a row that is refused.
            options: What `minidistil.pipeline` takes: ``precision``, ``device``,
                ``top_k``, …; of a pipeline, what its call takes.

        Raises:
            TypeError, ValueError: for an option that is out of range, or that the task
                does not have.
        """
        self.reading = Reading(
            column,
            second_column,
            context_column,
            choices_column,
            question_column,
            prefix,
            strict,
            on_error,
        )
        self.task = task
        self.model = model
        self.options = options
        # A mistake shows here, and not in a worker.
        if isinstance(task, Pipeline):
            if model is not None:
                raise TypeError("a pipeline has its model: give the one or the other")
            task.settings(options)
            self.reading.columns(task.task)
        else:
            if task not in TASKS:
                raise ValueError(
                    f"task is {quote(task)}, expected one of {', '.join(TASKS)}, or a "
                    f"pipeline"
                )
            check_options(task, options)
            self.reading.columns(TASKS[task].task)
        self._start(shared=False)

    @classmethod
    def of(cls, pipe: Pipeline[Any], **options: Any) -> Annotator:
        """The annotator of a pipeline that is there; the options are those above."""
        return cls(pipe, **options)

    def __call__(self, batch: Any) -> Any:
        """Answer a batch.

        Returns:
            The same kind of batch, with new columns behind those it had.

        Raises:
            TypeError: for what is no batch.
            ValueError: for a column that is not there, or a new one that is.
            TableError: at a row that cannot be answered, if that is to be an error; it
                names the row of the batch, counted from 1.
        """
        return computed(lambda: self._annotated(batch))

    def _annotated(self, batch: Any) -> Any:
        names = names_of(batch)
        answering = self._answering()
        answering.check_names(names)
        rows = rows_of(batch, answering.needed)
        new = answering.answer([rows]).new
        return with_columns(batch, new, like=answering.needed[0])

    def __getstate__(self) -> dict[str, Any]:
        return {
            "task": _same(self.task),
            "model": _same(self.model),
            "reading": _same({**vars(self.reading)}),
            "options": _same(self.options),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.task, self.model = state["task"], state["model"]
        self.reading = Reading(**state["reading"])
        self.options = state["options"]
        self._start(shared=True)

    def _start(self, *, shared: bool) -> None:
        self._shared = shared and isinstance(self.model, str | os.PathLike | None)
        self._found: Answering | None = None
        self._lock = Lock()

    def _answering(self) -> Answering:
        """What answers, loaded when it is needed."""
        with self._lock:
            if self._found is None:
                if isinstance(self.task, Pipeline):
                    pipe, options = self.task, self.options
                else:
                    load = self._load_shared if self._shared else self._load
                    pipe, options = load(), {}
                self._found = Answering(pipe, self.reading, options)
            return self._found

    def _load(self) -> Pipeline[Any]:
        task: Any = self.task
        made: Pipeline[Any] = pipeline(task, self.model, **self.options)
        return made

    def _load_shared(self) -> Pipeline[Any]:
        asked = self.task, self.model, self.options, _files_of(self.model)
        try:
            key = pickle.dumps(_same(asked))
        except (pickle.PicklingError, AttributeError, TypeError):
            return self._load()  # it came by cloudpickle, which knows more
        with _LOADING:
            if key not in _LOADED:
                found = self._load()
                _LOADED.clear()
                _LOADED[key] = found
            return _LOADED[key]


def _files_of(model: Any) -> list[tuple[str, int, int]]:
    """What shows that a folder's files were written anew: each one's size and time."""
    if model is None or not Path(model).is_dir():
        return []
    found = ((file.name, file.stat()) for file in Path(model).iterdir())
    return sorted((name, stat.st_size, stat.st_mtime_ns) for name, stat in found)


def _same(value: Any) -> Any:
    """A copy whose pickle is the same bytes in every process.

    Pickle writes a string that is the same object as another as a reference to it.
    Which are, differs between processes, unless equal strings always are.
    """
    if type(value) is str:
        return sys.intern(value)
    if type(value) in (list, tuple):
        return type(value)(_same(each) for each in value)
    if type(value) is dict:
        return {_same(name): _same(each) for name, each in value.items()}
    return value
