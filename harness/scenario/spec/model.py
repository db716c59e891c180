"""What is measured: the `model` of a scenario."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from harness.scenario.rules.base import (
    WORD,
    Broken,
    any_of,
    remove,
    shown,
    twice,
    under,
    with_article,
)
from harness.scenario.spec import fields as of
from harness.scenario.spec.fields import Model

NO_REFERENCE = ("engine", "triton", "fake")
_IN_TORCH = (["torch"], ["exported_program"])
"""Sources that nothing else can run, so that there is nothing to compare outputs with."""
IMAGES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm"})


class FakeSource(Model):
    """A model that is not there: for `kind: fake` backends."""


class Source(Model):
    """Where the model comes from: exactly one of torch, onnx, exported_program, engine, triton
    and fake. Paths are relative to the scenario file.
    """

    torch: of.ModuleCallable | None = Field(
        None, description="`module:callable` that returns a torch.nn.Module"
    )
    kwargs: dict[str, Any] = Field(
        default_factory=dict, description="arguments of that callable (torch only)"
    )
    seed: of.Seed = Field(
        0, description="seed for the weights that the callable draws (torch only)"
    )
    weights: of.File | None = Field(
        None, description="state-dict file to load into the module (torch only)"
    )
    onnx: of.File | None = Field(None, description="path of an ONNX file")
    exported_program: of.File | None = Field(None, description="path written by torch.export.save")
    trust: bool = Field(
        False, description="read a program though that may run code in it (exported_program only)"
    )
    engine: of.File | None = Field(None, description="path of a TensorRT engine")
    triton: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="name of a model that lives on a Triton server already"
    )
    fake: FakeSource | None = Field(None, description="`{}`: no model, for `fake` backends")

    @property
    def kinds(self) -> list[str]:
        """Which of the keys are set: one, where the rules hold."""
        return [key for key in of.SOURCE_KINDS if getattr(self, key) is not None]

    @property
    def kind(self) -> str:
        """Which of the keys is set."""
        return self.kinds[0]

    def _broken(self) -> Iterator[Broken]:
        kinds = self.kinds
        if len(kinds) != 1:
            found = " and ".join(kinds) if kinds else "none"
            yield Broken((), f"needs exactly one of {', '.join(of.SOURCE_KINDS)}; found {found}",
                         lacks=() if kinds else of.SOURCE_KINDS)  # fmt: skip
        if kinds and "torch" not in kinds:
            yield from self.idle("goes with a torch source only", "kwargs", "seed", "weights")
        if kinds and "exported_program" not in kinds:
            yield from self.idle("goes with an exported_program source only", "trust")


class Files(Model):
    """Input data from files; each file is one or more samples without, or with, the batch axis."""

    files: of.Paths = Field(
        description=".npy, .npz or image files, and for strings text files with one a line; "
        "relative to the scenario file"
    )
    mean: of.Numbers | None = Field(None, description="per channel, for images")
    std: of.Numbers | None = Field(None, description="per channel, for images")

    def _broken(self) -> Iterator[Broken]:
        mean, std = self.mean or (), self.std or ()
        if bool(mean) != bool(std):
            present, other = ("mean", "std") if mean else ("std", "mean")
            yield Broken((present,), f"needs `{other}` beside it", on_key=True)
        elif len(mean) != len(std):
            yield Broken(("std",), f"has {len(std)} values, but mean has {len(mean)}")
        elif 0 in std:
            yield Broken(("std",), "must not be 0: images are divided by it")
        elif not any(Path(file).suffix.lower() in IMAGES for file in self.files):
            yield from self.idle("goes with images, and none of the files is one", "mean", "std")


class Values(Model):
    """Strings, written here: they fill one sample after the other, in order and over again."""

    values: of.Some[str] = Field(description="the strings of an input with `dtype: string`")


def _data_kind(value: object) -> str:
    if isinstance(value, Values) or (isinstance(value, dict) and "values" in value):
        return "values"
    return "files" if isinstance(value, dict | Files) else "word"


class Input(Model):
    """One input tensor of the model."""

    name: Annotated[str, Field(min_length=1)] = Field(description="as the model calls it")
    dtype: of.DType = Field("float32", description="type of the elements")
    shape: of.Shape = Field(
        description="sizes; `batch` is the batch dimension, other words are dynamic dimensions; "
        "`[]` is a scalar"
    )
    data: Annotated[
        Annotated[Literal["random", "zeros"], Tag("word")]
        | Annotated[Files, Tag("files")]
        | Annotated[Values, Tag("values")],
        Discriminator(_data_kind),
    ] = Field(
        "random",
        description="random (seeded), zeros, `{files: [...]}`, or for strings `{values: [...]}`",
    )
    range: of.Pair | None = Field(
        None, description="bounds of random data [low, high); integers default to [0, 2)"
    )
    value: of.Many[bool | int | float] | None = Field(
        None, description="in every request: a number, or one for each place of the last axis"
    )

    def _broken(self) -> Iterator[Broken]:
        if isinstance(self.data, Values) and self.dtype != "string":
            yield Broken(("data", "values"), "go with `dtype: string`", on_key=True)
        if self.value is not None and self.dtype == "string":
            yield remove("value", "is of numbers; strings are `data: {values: [...]}`")
        elif self.value is not None:
            yield from self.idle("`value` says what the input holds", "data", "range")
        if self.range is None:
            return
        if self.data != "random":
            yield remove("range", "goes with `data: random` only")
        if self.dtype in ("bool", "string"):
            yield remove("range", f"{self.dtype} inputs have no range")
        low, high = self.range
        bounds = f"[{shown(low)}, {shown(high)}]"
        if not low < high:
            yield Broken(("range",), f"low must be less than high, found {bounds}")
        if self.dtype.startswith("uint") and low < 0:
            yield Broken(("range",), f"{self.dtype} inputs can't be negative, found {bounds}")


class Parity(Model):
    """Correctness before speed: how outputs are compared with the eager fp32 reference."""

    inputs: Annotated[int, Field(gt=0, le=10_000)] = Field(
        3, description="distinct inputs per batch size"
    )
    max_abs_error: float | None = Field(None, gt=0, description="overrides the precision's")
    max_rel_error: float | None = Field(None, gt=0, description="overrides the precision's")
    ignore: of.Words = Field(
        (), description="outputs that are not compared, by name: noise, or a time that it took"
    )
    on_mismatch: Literal["skip", "measure"] = Field(
        "skip", description="what to do with a backend that disagrees"
    )


Size = Annotated[int, Field(ge=0, le=10**9)]


class SizeShare(Model):
    """A size of a dynamic dimension, and which share of the requests has it."""

    size: Size = Field(description="of the dimension")
    share: of.PositiveFloat = Field(
        description="of the requests; only its ratio to the others counts, so 9 and 1 are 90 % "
        "and 10 %"
    )


def _size_kind(value: object) -> str:
    if not isinstance(value, list | tuple):
        return "one"
    return "shares" if any(isinstance(v, dict | SizeShare) for v in value) else "sizes"


DynamicSize = Annotated[
    Annotated[Size, Tag("one")]
    | Annotated[of.Some[Size], Tag("sizes")]
    | Annotated[of.Some[SizeShare], Tag("shares")],
    Discriminator(_size_kind),
]
"""One size, several that are swept, or several that are mixed in shares."""
BatchAxis = Annotated[int, Field(ge=0, le=31)] | Literal["none"]


def _no_batch(shapes: Sequence[Sequence[object]], said: object) -> Iterator[Broken]:
    """Of inputs whose shapes are written, one at least follows the batch size."""
    if shapes and said != "none" and not any(of.BATCH in shape for shape in shapes):
        found = f"[{', '.join(map(str, shapes[0]))}] has no batch dimension"
        message = (
            f"{found}; write one, like [batch, 3, 224, 224], or say `batch: none` of the model"
        )
        yield Broken(("inputs", 0, "shape"), message)


def _broken_sizes(word: str, sizes: object) -> Iterator[Broken]:
    """Sizes that vary differ, and their dimension has a name that points can have."""
    if not isinstance(sizes, tuple):
        return
    if not WORD.fullmatch(word):
        message = (
            f"sizes of '{word}' can't vary: points are named after it; write the shapes under "
            "`inputs`, with a name of letters, digits and _"
        )
        yield Broken(("dynamic", word), message, on_key=True)
    for index, size in twice(getattr(s, "size", s) for s in sizes):
        yield Broken(("dynamic", word, index), f"{size} is there twice")


class ModelSpec(Model):
    """What is measured."""

    name: of.Name = Field(description="the model's name in tables and on the server")
    source: Source = Field(description="where it comes from")
    inputs: of.Many[Input] = Field(
        default=(), description="may be left out for onnx, engine, triton and fake sources"
    )
    batch: Literal["none"] | Annotated[str, Field(min_length=1)] | dict[str, BatchAxis] | None = (
        Field(
            None,
            description="where `inputs` are read from the model: the dimension's name in the file, "
            "or `{TENSOR: axis or none}`; left out: read from names and from how sizes propagate. "
            "`none`: no batch, a request is one inference",
        )
    )
    dynamic: dict[str, DynamicSize] = Field(
        default_factory=dict,
        description="sizes of the dynamic dimensions other than batch; 0 for what is empty, like "
        "the past of a decoder's first step. A list is swept: `sequence: [32, 128, 512]`; one with "
        "shares is mixed within each load: `[{size: 32, share: 0.9}, {size: 512, share: 0.1}]`",
    )
    parity: Parity = Field(
        default_factory=Parity, description="how outputs are compared before timing"
    )

    def _broken(self) -> Iterator[Broken]:
        for index, name in twice(i.name for i in self.inputs):
            yield Broken(("inputs", index, "name"), f"two inputs have the name '{name}'")
        yield from self._broken_batch()
        yield from self._broken_dynamic()
        kinds = self.source.kinds
        if len(kinds) == 1 and kinds[0] in NO_REFERENCE:
            why = f"outputs of a model from `{kinds[0]}` can't be compared: it has no reference"
            held = {"ignore", "on_mismatch"} if kinds[0] == "triton" else set()  # to its config
            idle = self.parity.idle(why, *(Parity.model_fields.keys() - held))
            yield from under(("parity",), idle)
        if kinds in _IN_TORCH and not self.inputs:
            yield Broken((), f"{with_article(kinds[0])} source needs `inputs`", lacks=("inputs",))
        for index, item in enumerate(self.inputs) if kinds in _IN_TORCH else ():
            if item.dtype == "string":
                yield Broken(("inputs", index, "dtype"), "PyTorch has no tensors of strings")

    @classmethod
    def _broken_parts(cls, data: object) -> Iterator[Broken]:
        written = data if isinstance(data, dict) else {}
        items = [i for i in of.as_tuple(written.get("inputs")) or () if isinstance(i, dict)]
        shapes = [of.as_tuple(i["shape"]) or () for i in items if "shape" in i]
        yield from _no_batch(shapes, written.get("batch"))

    def _broken_batch(self) -> Iterator[Broken]:
        """The batch is said once: in the shapes, or under `batch` where there are none."""
        yield from _no_batch([item.shape for item in self.inputs], self.batch)
        for index, item in enumerate(self.inputs) if self.batch == "none" else ():
            if of.BATCH in item.shape:
                message = "`batch: none` is there, so no shape has a batch dimension"
                yield Broken(("inputs", index, "shape"), message)
        names, kinds = {item.name for item in self.inputs}, self.source.kinds
        word = isinstance(self.batch, str)
        takes = ("onnx",) if word else ("onnx", "engine", "triton")
        if self.batch in (None, "none") or len(kinds) != 1:
            pass
        elif word and self.inputs:
            yield remove("batch", "the word `batch` in the shapes of `inputs` says it")
        elif kinds[0] not in takes:
            what = "a dimension's name" if word else "a tensor's axis"
            yield remove("batch", f"{what} goes with {any_of(takes)} sources only")
        for name in self.batch if isinstance(self.batch, dict) else ():
            if name in names:
                yield remove(name, "the shape under `inputs` says it", "batch")

    def _broken_dynamic(self) -> Iterator[Broken]:
        """Each word in a shape has a size, and each size is of a word in a shape."""
        words: set[str] = set()
        for index, item in enumerate(self.inputs):
            for axis, word in enumerate(item.shape):
                if not isinstance(word, str) or word in {of.BATCH, *words}:
                    continue
                words.add(word)
                if word not in self.dynamic:
                    fix = f"add `dynamic: {{{word}: N}}` to the model"
                    message = f"the dynamic dimension '{word}' has no size; {fix}"
                    yield Broken(("inputs", index, "shape", axis), message)
        for word, sizes in self.dynamic.items():
            yield from _broken_sizes(word, sizes)
            if word == of.BATCH:
                message = "the batch dimension gets its sizes from load.batch_sizes"
                yield remove(word, message, "dynamic")
            elif self.inputs and word not in words:
                yield Broken(("dynamic", word), "is in no input's shape", on_key=True)
