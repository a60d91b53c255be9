"""Text in, answers out.

    text ─ tokenizer ─ ids ─ engine ─ logits ─ what the task makes of them

One file a task, one line a task in `tasks`; what they share stands in `base` (a model
and a tokenizer that fit each other), `reading` (one input or many, lists or iterators),
`pieces` (the tokens of a text, and windows over them) and `loading`.

The engine gives what the model gives, sooner (`minidistil.engine`); a pipeline runs on
either. The names, the options and the shapes of the results are those of transformers'
pipelines; what differs is that no text is too long.
"""

from __future__ import annotations

from minidistil.pipelines.base import Pipeline as Pipeline
from minidistil.pipelines.cutting import (
    CUTS as CUTS,
    take_head as take_head,
    take_head_and_tail as take_head_and_tail,
    take_windows as take_windows,
)
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
from minidistil.pipelines.tasks import TASKS as TASKS, pipeline as pipeline
from minidistil.pipelines.text_classification import (
    DEFAULT_MODEL as DEFAULT_MODEL,
    DEFAULT_REVISION as DEFAULT_REVISION,
    FUNCTIONS as FUNCTIONS,
    Options as Options,
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
