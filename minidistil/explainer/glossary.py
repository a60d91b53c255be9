"""Every field of a trace and of its reasons: where it is computed, and what it is."""

from __future__ import annotations

from typing import NamedTuple


class Term(NamedTuple):
    """One field of a trace, or of a part of it, or of the reasons for its answer.

    Attributes:
        part: The dataclass whose field it is.
        name: The field.
        where: What computes it, below ``minidistil``.
        shape: Its shape, in the letters of `minidistil.model`, where V stands in the
            place of C if words are guessed; empty if not a tensor.
        what: One sentence.
    """

    part: str
    name: str
    where: str
    shape: str
    what: str


def _terms(part: str, *rows: tuple[str, str, str, str]) -> list[Term]:
    return [Term(part, *row) for row in rows]


GLOSSARY: list[Term] = [
    *_terms(
        "Reading",
        ("raw", "explainer.explain", "", "The text as it was given."),
        (
            "cleaned",
            "wordpiece.clean",
            "",
            "The text without invisible characters and accents, in lower case, as far "
            "as the checkpoint asks for it.",
        ),
        (
            "words",
            "wordpiece.split",
            "",
            "What stands between spaces; a punctuation mark is a word of its own.",
        ),
        (
            "left_out",
            "explainer.reading.read",
            "",
            "How many tokens at the end of the text the model has no room for.",
        ),
        (
            "note",
            "explainer.reading.read",
            "",
            "Why the steps from text to tokens are missing, if they are.",
        ),
    ),
    *_terms(
        "Word",
        ("text", "wordpiece.split", "", "The word, cleaned."),
        ("start", "wordpiece.split", "", "Its first character in the raw text."),
        ("end", "wordpiece.split", "", "The character behind its last one."),
        (
            "attempts",
            "wordpiece.attempts",
            "",
            "What was looked up in the vocabulary, the longest piece first.",
        ),
    ),
    *_terms(
        "Token",
        (
            "text",
            "wordpiece.attempts",
            "",
            "The token as the vocabulary writes it; ## continues a word.",
        ),
        ("id", "tokenizer.DistilBertTokenizer", "", "Its row in the vocabulary."),
        (
            "start",
            "wordpiece.WordPiece.clean_text",
            "",
            "Its first character in the raw text; special tokens have none.",
        ),
        (
            "end",
            "wordpiece.WordPiece.clean_text",
            "",
            "The character behind its last one.",
        ),
        ("word", "wordpiece.split", "", "The number of its word."),
        (
            "reading",
            "explainer.explain",
            "",
            "Which of the texts it is of: 0, or 1 for the second of a pair.",
        ),
        (
            "attend",
            "model.tokens_to_attend",
            "",
            "Whether the mask lets the model read it; padding is hidden.",
        ),
    ),
    *_terms(
        "EmbeddingsTrace",
        (
            "word_embeddings",
            "model.Embeddings.word_embeddings",
            "(T, D)",
            "The vector that the vocabulary's table holds for the token's id.",
        ),
        (
            "position_embeddings",
            "model.Embeddings.position_embeddings",
            "(T, D)",
            "The vector for the token's place: 0 is the first, 1 the second.",
        ),
        (
            "summed",
            "model.Embeddings.forward",
            "(T, D)",
            "Word and position, added.",
        ),
        (
            "LayerNorm",
            "model.Embeddings.LayerNorm",
            "(T, D)",
            "The sum shifted to mean 0 and scaled to variance 1, then stretched and "
            "shifted by learned numbers: what the first layer reads.",
        ),
    ),
    *_terms(
        "BlockTrace",
        (
            "x",
            "model.TransformerBlock.forward",
            "(T, D)",
            "What the layer reads: a vector for each token.",
        ),
        (
            "q",
            "model.SelfAttention.q_lin",
            "(H, T, K)",
            "The query: what each token looks for, in each head.",
        ),
        (
            "k",
            "model.SelfAttention.k_lin",
            "(H, T, K)",
            "The key: what each token offers to be found by.",
        ),
        (
            "v",
            "model.SelfAttention.v_lin",
            "(H, T, K)",
            "The value: what each token hands on when it is looked at.",
        ),
        (
            "products",
            "model.eager_attention",
            "(H, T, T)",
            "q · k for each pair of tokens: how well what one offers fits what the "
            "other looks for.",
        ),
        (
            "scores",
            "model.eager_attention",
            "(H, T, T)",
            "The products divided by √K, and −∞ where the mask hides a token.",
        ),
        (
            "weights",
            "model.eager_attention",
            "(H, T, T)",
            "The softmax of a row of scores: shares that add up to 1. This is what is "
            "called attention.",
        ),
        (
            "mixed",
            "model.eager_attention",
            "(H, T, K)",
            "The mean of all tokens' values, by those shares.",
        ),
        (
            "out_lin",
            "model.SelfAttention.out_lin",
            "(T, D)",
            "What the heads mixed, side by side again, through a linear layer.",
        ),
        (
            "attended_plus_x",
            "model.TransformerBlock.forward",
            "(T, D)",
            "out_lin, which the layer calls attended, plus x, the residual: attention "
            "adds to what was there.",
        ),
        (
            "sa_layer_norm",
            "model.TransformerBlock.sa_layer_norm",
            "(T, D)",
            "attended_plus_x, normalised.",
        ),
        (
            "lin1",
            "model.FFN.lin1",
            "(T, F)",
            "The feed-forward network's first layer, which is wider.",
        ),
        (
            "activation",
            "model.FFN.activation",
            "(T, F)",
            "GELU (or ReLU) of lin1: negative numbers become small, or 0.",
        ),
        ("lin2", "model.FFN.lin2", "(T, D)", "Back to the width of the model."),
        (
            "fed_forward",
            "model.TransformerBlock.forward",
            "(T, D)",
            "lin2 plus sa_layer_norm, the second residual.",
        ),
        (
            "output_layer_norm",
            "model.TransformerBlock.output_layer_norm",
            "(T, D)",
            "fed_forward, normalised: what the layer returns and the next one reads.",
        ),
    ),
    *_terms(
        "ClassifierTrace",
        (
            "cls",
            "heads.DistilBertForSequenceClassification.forward",
            "(D,)",
            "The last layer's vector of the first token, [CLS]: all that the head "
            "reads.",
        ),
        (
            "pre_classifier",
            "heads.DistilBertForSequenceClassification.pre_classifier",
            "(D,)",
            "A linear layer on it.",
        ),
        (
            "relu",
            "heads.DistilBertForSequenceClassification.forward",
            "(D,)",
            "Its negative numbers set to 0.",
        ),
        (
            "logits",
            "heads.DistilBertForSequenceClassification.classifier",
            "(C,)",
            "A score for each label, any number from −∞ to ∞.",
        ),
        (
            "function",
            "pipelines.function_for",
            "",
            "What makes probabilities of the logits: softmax where one label is right, "
            "sigmoid where several may be, none for a regression.",
        ),
        (
            "probabilities",
            "pipelines.FUNCTIONS",
            "(C,)",
            "That function of the logits.",
        ),
    ),
    *_terms(
        "MaskedLMTrace",
        (
            "masks",
            "explainer.explain",
            "",
            "Where [MASK] stands among the tokens.",
        ),
        (
            "vocab_transform",
            "heads.DistilBertForMaskedLM.vocab_transform",
            "(M, D)",
            "A linear layer on the last layer's vector of each of M masks.",
        ),
        (
            "activation",
            "heads.DistilBertForMaskedLM.activation",
            "(M, D)",
            "GELU (or ReLU) of it.",
        ),
        (
            "vocab_layer_norm",
            "heads.DistilBertForMaskedLM.vocab_layer_norm",
            "(M, D)",
            "That, normalised.",
        ),
        (
            "logits",
            "heads.DistilBertForMaskedLM.vocab_projector",
            "(M, V)",
            "A score for each word of the vocabulary.",
        ),
        (
            "probabilities",
            "heads.DistilBertForMaskedLM.forward",
            "(M, V)",
            "The softmax of the logits: shares that add up to 1.",
        ),
    ),
    *_terms(
        "Trace",
        (
            "readings",
            "explainer.reading.read",
            "",
            "How the text became tokens; two readings for a pair of texts.",
        ),
        (
            "tokens",
            "explainer.reading.tokens_of",
            "",
            "What the model read, padding included: T of them.",
        ),
        (
            "embeddings",
            "model.Embeddings",
            "",
            "What the embeddings computed.",
        ),
        (
            "layer",
            "model.TransformerBlock",
            "",
            "What each layer computed: L of them.",
        ),
        (
            "head",
            "heads",
            "",
            "What the head computed, if the explanation goes that far.",
        ),
        (
            "not_shown",
            "explainer.explain",
            "",
            "Why the explanation goes no further; empty if it does.",
        ),
        (
            "subject",
            "explainer.explain",
            "",
            "The model and its tokenizer, which the reasons are computed with.",
        ),
    ),
    *_terms(
        "Attribution",
        (
            "target",
            "explainer.attribution.attribute",
            "",
            "The number of the label or word that is explained.",
        ),
        ("name", "explainer.attribution.attribute", "", "Its name."),
        (
            "tokens",
            "explainer.attribution.attribute",
            "(T,)",
            "How much each token adds to the logit, by integrated gradients.",
        ),
        (
            "words",
            "explainer.attribution.attribute",
            "",
            "The same for each word of each text: the sum over its tokens.",
        ),
        (
            "specials",
            "explainer.attribution.attribute",
            "",
            "The sum over the tokens that are of no word, such as [CLS]: 0, as the "
            "baseline keeps them.",
        ),
        (
            "logit",
            "explainer.attribution.attribute",
            "",
            "The logit of the text.",
        ),
        (
            "baseline",
            "explainer.attribution.attribute",
            "",
            "The logit of the baseline, where [PAD] stands for the words.",
        ),
        (
            "steps",
            "explainer.attribution.attribute",
            "",
            "Into how many the way from the baseline to the text was cut.",
        ),
        (
            "error",
            "explainer.attribution.attribute",
            "",
            "How far the sum is from logit minus baseline, as a share of that.",
        ),
        (
            "reached",
            "explainer.attribution.attribute",
            "",
            "Whether the errors of all steps together are as small as was asked for.",
        ),
    ),
    *_terms(
        "Lens",
        (
            "logits",
            "explainer.lens.lens",
            "(L + 1, C)",
            "What the head makes of its token's vector before the first layer and "
            "after each.",
        ),
        (
            "probabilities",
            "explainer.lens.lens",
            "(L + 1, C)",
            "The model's function of them.",
        ),
    ),
    *_terms(
        "Ablations",
        (
            "target",
            "explainer.ablation.ablations",
            "",
            "The number of the label or word whose logit is watched.",
        ),
        (
            "heads",
            "explainer.ablation.ablations",
            "(L, H)",
            "How that logit changes if the mixed values of one head become 0.",
        ),
        (
            "layers",
            "explainer.ablation.ablations",
            "(L,)",
            "How it changes if one layer is skipped: the next reads what it would have "
            "read.",
        ),
        (
            "tokens",
            "explainer.ablation.ablations",
            "(T,)",
            "How it changes if the mask hides one token; 0 for padding, which is "
            "hidden anyway.",
        ),
    ),
]
