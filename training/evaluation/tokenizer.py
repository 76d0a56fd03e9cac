"""CLIP's byte-pair tokenizer: Radford et al. 2021, arXiv:2103.00020, section 2.4, by the library `tokenizers`.

Its merges are a file of their own, which the package open_clip_torch carries.
"""

import gzip
import html
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError, first_line
from keras_mobilenets.tensors import detached

Tokenize = Callable[[Sequence[str], int], np.ndarray]  # texts and the tokens of each to int32 (texts, tokens)

MERGES = "bpe_simple_vocab_16e6.txt.gz"
MOST_MERGES = 49152 - 256 - 2  # of that file, which has more than CLIP uses
_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
_FOUND_IN = f"the file {MERGES} of the package open_clip_torch"


def tokenizer_of(given: Any) -> Tokenize:
    """A tokenizer of what the user has.

    Args:
        given: Path of a merges file (`.txt` or `.txt.gz`) or of a `tokenizer.json` of Hugging Face; a function that
            makes tokens of a list of texts, such as `open_clip.get_tokenizer(...)`; or None for the file of
            open_clip_torch, where that is installed.

    Returns:
        A function of texts and the number of tokens of each: start, tokens, end, and zeros behind it. What is longer
        is cut.

    Raises:
        UserError: There is no such file or library, or the file holds no tokenizer.
    """
    if callable(given):
        return lambda texts, context: np.asarray(detached(given(list(texts))), np.int32)
    path = _installed() if given is None else Path(given)
    if not path.is_file():
        raise UserError(f"no tokenizer {path}: give tokenizer= {_FOUND_IN}")
    try:
        import tokenizers  # noqa: F401
    except ImportError as error:
        raise UserError('texts need a tokenizer: pip install "keras_mobilenets[clip]"') from error
    if path.suffix == ".json":
        return _encoder(*_from_json(path))
    return _encoder(*_from_merges(path))


def _installed() -> Path:
    """The merges file of open_clip_torch, which is not imported: it would load PyTorch."""
    found = importlib.util.find_spec("open_clip")
    if found is None or not found.submodule_search_locations:
        raise UserError(f"texts need CLIP's tokenizer: give tokenizer= {_FOUND_IN}, or install that")
    return Path(found.submodule_search_locations[0]) / MERGES


def _from_json(path: Path) -> tuple[Any, int, int]:
    from tokenizers import Tokenizer

    try:
        model = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises Exception itself
        raise UserError(f"{path} is no tokenizer.json: {first_line(error)}") from error
    model.no_padding()
    model.no_truncation()
    return model, model.get_vocab_size() - 2, model.get_vocab_size() - 1


def _from_merges(path: Path) -> tuple[Any, int, int]:
    """The tokenizer of pairs of tokens that are merged, the most frequent first: a line each behind a first one."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        lines = content.decode("utf-8").split("\n")[1 : MOST_MERGES + 1]
        merges = [(first, second) for first, second in (line.split() for line in lines if line.strip())]
    except (OSError, EOFError, ValueError) as error:
        raise UserError(f"{path} is no file of merges, two tokens a line: {first_line(error)}") from error
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(merge) for merge in merges)]
    start, end = len(tokens), len(tokens) + 1
    vocabulary = {token: number for number, token in enumerate((*tokens, "<start_of_text>", "<end_of_text>"))}
    try:
        model = Tokenizer(models.BPE(vocabulary, merges, end_of_word_suffix="</w>"))
    except Exception as error:  # the library raises Exception itself
        raise UserError(f"{path} is no file of merges: {first_line(error)}") from error
    model.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    words = pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True)
    model.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(False, use_regex=False)])
    return model, start, end


def _encoder(model: Any, start: int, end: int) -> Tokenize:
    def encode(texts: Sequence[str], context: int) -> np.ndarray:
        result = np.zeros((len(texts), context), np.int32)
        for row, text in zip(result, texts, strict=True):
            found = model.encode(_cleaned(text), add_special_tokens=False).ids[: context - 2]
            row[: len(found) + 2] = [start, *found, end]
        return result

    return encode


def _cleaned(text: str) -> str:
    """The text as CLIP was trained: mended where its encoding is broken, without HTML."""
    try:
        from ftfy import fix_text
    except ImportError:
        pass
    else:
        text = fix_text(text)
    return html.unescape(html.unescape(text))
