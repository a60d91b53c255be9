"""Text in, answers out.

    text ─ tokenizer ─ ids ─ engine ─ logits ─ what the task makes of them

One file a task, one line a task in `tasks`. They share `base` (options, and one flow
from inputs to answers), `reading` (one input or many, lists or iterators), `long_texts`
(all tokens of a text, truncation, windows, pairs) and `loading`. What goes in and what
comes out is typed by `keywords` and `answers`. README.md is for users.

The engine gives what the model gives, sooner (`minidistil.engine`); a pipeline runs on
either.
"""

from __future__ import annotations

from minidistil.pipelines.base import Pipeline as Pipeline
from minidistil.pipelines.feature_extraction import (
    FeatureExtractionPipeline as FeatureExtractionPipeline,
)
from minidistil.pipelines.fill_mask import FillMaskPipeline as FillMaskPipeline
from minidistil.pipelines.multiple_choice import (
    MultipleChoicePipeline as MultipleChoicePipeline,
)
from minidistil.pipelines.question_answering import (
    QuestionAnsweringPipeline as QuestionAnsweringPipeline,
)
from minidistil.pipelines.sentence_embeddings import (
    SentenceEmbeddingsPipeline as SentenceEmbeddingsPipeline,
)
from minidistil.pipelines.tasks import (
    TASKS as TASKS,
    Task as Task,
    check_options as check_options,
    pipeline as pipeline,
)
from minidistil.pipelines.text_classification import (
    DEFAULT_MODEL as DEFAULT_MODEL,
    DEFAULT_REVISION as DEFAULT_REVISION,
    FUNCTIONS as FUNCTIONS,
    TextClassificationPipeline as TextClassificationPipeline,
    function_for as function_for,
)
from minidistil.pipelines.token_classification import (
    TokenClassificationPipeline as TokenClassificationPipeline,
)
from minidistil.pipelines.vector_files import (
    check_features_file as check_features_file,
    check_vector_file as check_vector_file,
    save_features as save_features,
    save_vectors as save_vectors,
)
from minidistil.pipelines.zero_shot import (
    ZeroShotClassificationPipeline as ZeroShotClassificationPipeline,
)
