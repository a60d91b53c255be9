"""`scripts/tiny`: the texts, the shrunk teacher, and the whole in order."""

from __future__ import annotations

import io
import json
import random
import re
import runpy
import subprocess
import sys
import tarfile

import pytest
import torch
import transformers
from programs import SCRIPTS, run_script
from safetensors.torch import load_file, save_file

from minidistil import DistilBertForSequenceClassification, DistilBertTokenizer
from minidistil.hub import BUNDLED

COURSE = [
    "I've been waiting for a HuggingFace course my whole life.",
    "I enjoy learning stuff",
    "I hate this so much!",
    "Not bad",
    "Deepseek misinformation sent the stock market in a frenzy",
]
DEV = [
    "it ca n't be that the film is a gem , or can it ?",
    "slow , grey and rather pointless",
]
KEPT = {
    "a gem of a film": 1,
    "the film is a long yawn": 0,  # four words of a dev sentence
    "it 's not bad prose": 1,
    "pointless and grey": 0,
    "a warm , funny and clever comedy about two old friends": 1,
    "dull from the first scene to the very last one": 0,
}
HELD_OUT = {
    "Slow, grey and rather pointless!": 0,
    "they said that the film is a gem": 1,
    "NOT BAD .": 1,
    "i 've been waiting for a bus": 0,
}
TWEETS = {"1": (2.1, "love it"), "2": (-0.4, "it is a phone"), "3": (-3, "so bad")}
REVIEWS = {"1_1": (1.5, "It rings."), "1_2": (-1, "Then it stops."), "2_1": (0.5, "Ok")}
LABELLED = 11  # of what people wrote and is not held out
FILMS = {"1_1": (3, "from a film review"), "1_2": (-3, "another of them")}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """The options that name SST-2's folder and VADER's archive, both small."""
    folder = tmp_path_factory.mktemp("sources")
    for name, rows in ("train", KEPT | HELD_OUT), ("dev", dict.fromkeys(DEV, 1)):
        lines = [f"{text} \t{label}" for text, label in rows.items()]
        (folder / f"{name}.tsv").write_text("\n".join(["sentence\tlabel", *lines, ""]))
    inner = archive(
        {
            f"hutto_ICWSM_2014/{name}_GroundTruth.txt": "".join(
                f"{number}\t{rating}\t{text}\n"
                for number, (rating, text) in rows.items()
            ).encode()
            for name, rows in (
                ("tweets", TWEETS),
                ("amazonReviewSnippets", REVIEWS),
                ("movieReviewSnippets", FILMS),
            )
        }
    )
    outer = folder / "vader.tar.gz"
    outer.write_bytes(archive({"vader/hutto_ICWSM_2014.tar.gz": inner}))
    return "--sst2", folder, "--vader", outer


def archive(files):
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return written.getvalue()


def rows_of(file):
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return [(row["text"], row["label"]) for row in rows]


@pytest.fixture(scope="module")
def tables(sources, tmp_path_factory):
    """The rows of both tables."""
    folder = tmp_path_factory.mktemp("tables")
    result = run_script("tiny/texts.py", folder, *sources)
    assert result.exit_code == 0, result.output
    return rows_of(folder / "labelled.jsonl"), rows_of(folder / "all.jsonl")


# texts.py


def test_what_people_wrote_comes_with_its_label(tables):
    names = ["NEGATIVE", "POSITIVE"]
    texts = {text: names[label] for text, label in KEPT.items()}
    texts |= {"love it": "POSITIVE", "so bad": "NEGATIVE"}
    texts |= {"It rings.": "POSITIVE", "Then it stops.": "NEGATIVE", "Ok": "POSITIVE"}
    assert len(texts) == LABELLED
    assert tables[0][:LABELLED] == [*texts.items()]


def test_nearly_neutral_and_whole_texts_have_no_label(tables):
    labelled, every = map(dict, tables)
    for text in "it is a phone", "It rings. Then it stops.":
        assert text not in labelled
        assert every[text] is None


def test_no_text_is_held_out_or_has_five_words_of_one_that_is(tables):
    def words(text):
        plain = text.lower().replace(" n't", "n't").replace(" '", "'")
        return re.findall("[a-z0-9]+", plain.replace("'", ""))

    held_out = [words(text) for text in [*DEV, *COURSE]]
    fives = {
        (*some[i : i + 5],) for some in held_out for i in range(max(0, len(some) - 4))
    }
    for text, _ in tables[1]:
        found = words(text)
        assert found not in held_out
        assert not fives & {(*found[i : i + 5],) for i in range(len(found))}, text


def test_film_reviews_of_vader_are_left_out(tables):
    everything = "\n".join(text for text, _ in tables[1])
    assert "love it" in everything
    assert "film review" not in everything
    assert "another of them" not in everything


def test_the_students_rows_are_the_teachers_and_some_without_a_label(tables):
    labelled, every = tables
    assert [row for row in every if row[1] is not None] == labelled
    # Two that are nearly neutral or whole; and a copy of each text that people wrote,
    # of which those are missing that have become like one that is held out.
    written = len(KEPT) + len(TWEETS) + len(REVIEWS) + 1
    copies = len(every) - len(labelled) - 2
    assert written // 2 < copies <= written


def test_a_negation_turns_the_label_of_a_statement(tables):
    praise = {"good", "great", "nice", "fine", "lovely", "like", "love", "enjoy"}
    blame = {"terrible", "awful", "horrible", "poor", "boring", "dislike", "hate"}
    negations = {"not", "nobody", "don", "wasn"}
    checked = set()
    for text, label in tables[0][LABELLED:]:
        found = set(re.findall("[a-z]+", text.lower()))
        if bool(found & praise) != bool(found & blame):
            case = bool(found & praise), bool(found & negations)
            assert (label == "POSITIVE") == (case[0] != case[1]), text
            checked.add(case)
    assert len(checked) == 4


def test_the_seed_decides(sources, tmp_path):
    texts = []
    for place, seed in enumerate((0, 0, 1)):
        out = tmp_path / str(place)
        run_script("tiny/texts.py", out, *sources, "--seed", seed, "--limit", 5)
        texts.append((out / "all.jsonl").read_text())
    assert texts[0] == texts[1] != texts[2]


def test_a_limit_is_of_each_kind(sources, tmp_path):
    run_script("tiny/texts.py", tmp_path, *sources, "--limit", 5)
    statements = rows_of(tmp_path / "all.jsonl")[5:10]
    assert all(label is not None for _, label in statements)
    assert 10 < len(rows_of(tmp_path / "all.jsonl")) <= 15


# shrink.py

TEXTS = [*COURSE, *DEV, *KEPT, "the phone is not reliable at all", "what a lovely day"]


@pytest.fixture
def texts(tmp_path):
    file = tmp_path / "texts.jsonl"
    rows = [json.dumps({"text": text, "label": None}) for text in TEXTS]
    file.write_text("\n".join([*rows, ""]))
    return file


@pytest.fixture
def teacher(folder_of, tmp_path):
    """Write a teacher whose tensors some function has changed: 3 heads of 8."""
    made = folder_of(dim=24, n_heads=3, hidden_dim=40)

    def teacher(change):
        tensors = load_file(made / "model.safetensors")
        change(tensors)
        folder = tmp_path / "teacher"
        folder.mkdir()
        for name in "config.json", "vocab.txt", "tokenizer_config.json":
            (folder / name).write_bytes((made / name).read_bytes())
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        return folder

    return teacher


def shrunk(teacher, texts, folder, dim=16, neurons=30):
    """Shrink; give both models' tensors, and what states were projected on."""
    result = run_script(
        *("tiny/shrink.py", teacher, texts, folder, "--dim", dim, "--neurons", neurons)
    )
    assert result.exit_code == 0, result.output
    old, new = (
        {name: each.float() for name, each in load_file(file).items()}
        for file in (teacher / "model.safetensors", folder / "model.safetensors")
    )
    words = "distilbert.embeddings.word_embeddings.weight"
    directions = torch.linalg.lstsq(old[words], new[words]).solution
    return old, new, directions


def test_directions_are_orthonormal(teacher, texts, tmp_path):
    *_, directions = shrunk(teacher(lambda _: None), texts, tmp_path / "student")
    product = directions.T @ directions
    torch.testing.assert_close(product, torch.eye(16), atol=1e-4, rtol=0)


def test_the_widest_directions_are_found():
    # Numbers of three directions, with a little of all others.
    wide = torch.randn(200, 3) @ torch.randn(3, 8)
    states = wide + 1e-3 * torch.randn(200, 8)
    found = runpy.run_path(str(SCRIPTS / "tiny" / "shrink.py"))["widest"]([states], 3)
    torch.testing.assert_close(states @ found @ found.T, states, atol=1e-2, rtol=0)


def test_projected_embeddings_keep_their_mean_and_are_fitted(teacher, texts, tmp_path):
    source = teacher(lambda _: None)
    *_, directions = shrunk(source, texts, tmp_path / "student")
    inputs = DistilBertTokenizer.from_pretrained(source)(
        TEXTS, padding=True, return_tensors="pt"
    )
    load = DistilBertForSequenceClassification.from_pretrained
    real = inputs["attention_mask"].bool()
    with torch.no_grad():
        wanted, got = (
            load(each)(**inputs, output_hidden_states=True).hidden_states[0][real]
            for each in (source, tmp_path / "student")
        )
    wanted = wanted @ directions
    # A fit by least squares: its errors have no mean, and go with no numbers of it.
    torch.testing.assert_close(got.mean(0), wanted.mean(0), atol=1e-4, rtol=0)
    errors = wanted - got
    together = (errors * (got - got.mean(0))).mean(0)
    torch.testing.assert_close(together, torch.zeros(16), atol=1e-4, rtol=0)


def test_neurons_that_do_not_change_are_left_out_and_their_output_stays(
    teacher, texts, tmp_path
):
    layer, still = "distilbert.transformer.layer.0.ffn", range(3, 40, 4)  # 10 of 40

    def change(tensors):
        tensors[f"{layer}.lin1.weight"][still] = 0

    old, new, directions = shrunk(teacher(change), texts, tmp_path / "student")
    active = torch.randn(5, 40)
    constant = torch.nn.functional.gelu(old[f"{layer}.lin1.bias"])
    active[:, still] = constant[still]
    kept = [i for i in range(40) if i not in still]
    wanted = active @ old[f"{layer}.lin2.weight"].T + old[f"{layer}.lin2.bias"]
    got = active[:, kept] @ new[f"{layer}.lin2.weight"].T + new[f"{layer}.lin2.bias"]
    torch.testing.assert_close(got, wanted @ directions, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("idle", [0, 1, 2])
def test_a_head_that_adds_nothing_is_left_out(teacher, texts, tmp_path, idle):
    layer = "distilbert.transformer.layer.1.attention"
    columns = slice(8 * idle, 8 * idle + 8)

    def change(tensors):
        tensors[f"{layer}.out_lin.weight"][:, columns] = 0

    old, new, directions = shrunk(teacher(change), texts, tmp_path / "student")
    kept = [i for i in range(24) if i // 8 != idle]
    for part in "q_lin", "k_lin", "v_lin":
        wanted = old[f"{layer}.{part}.weight"][kept] @ directions
        torch.testing.assert_close(
            new[f"{layer}.{part}.weight"], wanted, atol=1e-4, rtol=1e-4
        )
        assert torch.equal(
            new[f"{layer}.{part}.bias"], old[f"{layer}.{part}.bias"][kept]
        )


def test_a_student_has_no_dropout_and_float32(teacher, texts, tmp_path):
    def halve(tensors):
        tensors |= {name: each.half() for name, each in tensors.items()}

    shrunk(teacher(halve), texts, tmp_path / "student")
    tensors = load_file(tmp_path / "student" / "model.safetensors")
    assert {each.dtype for each in tensors.values()} == {torch.float32}
    config = json.loads((tmp_path / "student" / "config.json").read_text())
    sizes = [config[name] for name in ("dim", "n_heads", "hidden_dim", "n_layers")]
    assert sizes == [16, 2, 30, 2]
    for name in "dropout", "attention_dropout", "seq_classif_dropout":
        assert config[name] == 0
    cls = transformers.AutoModelForSequenceClassification
    cls.from_pretrained(tmp_path / "student")


def test_a_slightly_smaller_model_gives_nearly_the_same_answers(tmp_path):
    statements = runpy.run_path(str(SCRIPTS / "tiny" / "texts.py"))["everyday"]
    made = [text for text, _ in statements(400, random.Random(0))]
    read, others = made[:200], made[200:]
    file = tmp_path / "texts.jsonl"
    file.write_text("\n".join(json.dumps({"text": text}) for text in read))
    folder = tmp_path / "student"
    shrunk(BUNDLED["tiny"], file, folder, dim=224, neurons=700)
    inputs = DistilBertTokenizer.from_pretrained("tiny")(
        others, padding=True, return_tensors="pt"
    )
    load = DistilBertForSequenceClassification.from_pretrained
    with torch.no_grad():
        wanted, got = (load(each)(**inputs).logits for each in ("tiny", folder))
    same = wanted.argmax(-1) == got.argmax(-1)
    assert same.float().mean() > 0.95
    assert (wanted - got).norm() < 0.2 * wanted.norm()


@pytest.mark.parametrize(
    ("dim", "neurons", "message"),
    [
        (20, 30, "dim is 20, expected a multiple of the size of a head, 8"),
        (32, 30, "up to the teacher's 24"),
        (16, 41, "neurons is 41, expected 1 up to the teacher's 40"),
    ],
)
def test_sizes_that_cannot_be_are_one_clear_error(
    teacher, texts, tmp_path, dim, neurons, message
):
    source, student = teacher(lambda _: None), tmp_path / "student"
    result = run_script(
        *("tiny/shrink.py", source, texts, student, "--dim", dim, "--neurons", neurons)
    )
    assert result.exit_code == 1
    assert message in " ".join(result.stderr.split())
    assert not student.exists()


# The whole


@pytest.mark.full
def test_the_whole_makes_a_checkpoint_of_the_hubs_layout(sources, tmp_path):
    config = transformers.BertConfig(
        vocab_size=4000,
        hidden_size=288,  # heads of 32, as MiniLM has them
        num_attention_heads=9,
        intermediate_size=800,
        num_hidden_layers=1,
    )
    minilm, work, out = (tmp_path / name for name in ("minilm", "work", "out"))
    transformers.BertModel(config).save_pretrained(minilm)
    vocabulary = (BUNDLED["tiny"] / "vocab.txt").read_bytes().splitlines(True)[:4000]
    (minilm / "vocab.txt").write_bytes(b"".join(vocabulary))

    command = [sys.executable, SCRIPTS / "tiny", *sources, "--limit", "12"]
    command += ["--minilm", minilm, "--work", work, out]
    run = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert run.returncode == 0, run.stdout + run.stderr

    names = {"config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json"}
    assert {file.name for file in out.iterdir()} == names
    assert (out / "vocab.txt").read_bytes() == b"".join(vocabulary)
    tensors = load_file(out / "model.safetensors")
    assert {each.dtype for each in tensors.values()} == {torch.float16}
    written = json.loads((out / "config.json").read_text())
    assert (written["dim"], written["n_layers"], written["dropout"]) == (256, 1, 0.1)
    assert written["id2label"] == {"0": "NEGATIVE", "1": "POSITIVE"}
    assert run.stdout.count("accuracy") == 3  # distil's, and of either model
    for text in COURSE:
        assert re.search(rf"(NEGATIVE|POSITIVE)  0\.\d+  {re.escape(text)}", run.stdout)
    assert (work / "student" / "report.html").exists()
