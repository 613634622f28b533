"""Turns texts into vectors, with any encoder of transformers."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from transformers import AutoTokenizer

from handler_kit.batch_handler import BatchHandler, ForwardPass
from handler_kit.config import HandlerConfig, parse_options
from handler_kit.errors import InvalidInput, ItemError
from handler_kit.hub_checkpoint import load_tokenizer
from handler_kit.job import Answer
from handler_kit.json_numbers import encode_rows
from handler_kit.options import EmbeddingOptions
from handler_kit.precision import Compared
from handler_kit.sentence_modules import Embedded, read_modules
from handler_kit.text_batching import Batching, Tokens
from handler_kit.text_encoder import BatchingChoice, KeptBatching, load_encoder, longest_text
from handler_kit.text_input import check_texts, read_text, sample_texts

LONGEST_CHECKED = 512  # tokens


class TextEmbeddingHandler(BatchHandler[str, list[Tokens], Embedded]):
    """Answers each text with a list of floats, as many as the hidden size, and its token count."""

    compared_as: ClassVar[Compared] = "vectors"
    options: EmbeddingOptions

    def read_options(self, config: HandlerConfig) -> EmbeddingOptions:
        """Return pooling, normalisation and limits."""
        return parse_options(config, EmbeddingOptions)

    def load_model(self) -> torch.nn.Module:
        """Load the archive's transformer, and choose how its texts are batched."""
        poolings = self.options.pooling
        self._modules = read_modules(
            self.folder,
            self.device,
            (poolings,) if isinstance(poolings, str) else poolings,
            normal=self.options.normalize,
        )
        self._tokenizer = load_tokenizer(AutoTokenizer, self._modules.folder)
        model = load_encoder(self._modules.folder, self.device)
        possible = longest_text(self.options.max_length, self._tokenizer, model)
        said = self.options.max_length or self._modules.max_length
        self._max_length = min(possible, said or possible)
        on_cpu = self.device.type == "cpu"
        choice = BatchingChoice(
            model,
            self._tokenizer.pad_token_id or 0,
            self.device,
            compiled=self.config.compile == "on" or not on_cpu,
        )
        self.batching = self._choose_batching(choice, on_cpu=on_cpu)
        return model

    def _choose_batching(self, choice: BatchingChoice, *, on_cpu: bool) -> Batching:
        """Choose by trying, unless that was done before on this machine."""
        kept = self.choices.recall("batching", KeptBatching) if on_cpu else None
        if kept is not None:
            return choice.repeat(kept)
        texts = self._tokenized(check_texts(), longest=LONGEST_CHECKED)
        batching = choice.choose(self.options.batching, texts, timed=not on_cpu)
        if on_cpu:
            self.choices.keep("batching", KeptBatching.of(batching))
        return batching

    def decode(self, value: object, parameters: dict[str, Any]) -> str:
        """Return the text of a string or an object {text, parameters}, preceded by its prompt."""
        text, given = read_text(value, parameters, self.options.max_characters)
        asked = dict(given)
        modules = self._modules
        prompt = modules.prompt
        if "prompt_name" in asked:
            name = asked.pop("prompt_name")
            if not isinstance(name, str) or name not in modules.prompts:
                if not modules.prompts:
                    raise InvalidInput("prompt_name: this model has no prompts; leave it out")
                expected = ", ".join(modules.prompts)
                raise InvalidInput(f"prompt_name: expected one of: {expected}; got {name!r}")
            prompt = modules.prompts[name]
        if asked:
            raise InvalidInput(f"Unknown parameter {next(iter(asked))!r}")
        return prompt + text

    def plan(self, inputs: Sequence[str]) -> list[ForwardPass[list[Tokens]]]:
        """Return one pass, or several if one would have too many tokens."""
        texts = self._tokenized(inputs)
        groups = self.batching.groups(texts, self.options.max_pass_tokens)
        return [ForwardPass(places, [texts[place] for place in places]) for places in groups]

    def forward(self, batch: list[Tokens]) -> Embedded:
        """Return the vectors, [texts, hidden size]."""
        hidden = self.batching.run(self.model, batch, self.device)
        return Embedded(self._modules.vectors(hidden).cpu(), [len(text) for text in batch])

    def encode(self, outputs: Embedded) -> Sequence[Answer | ItemError]:
        """Return each vector as a list, with the number of tokens in the parameter `tokens`."""
        return [
            body
            if isinstance(body, ItemError)
            else Answer(body=body, parameters={"tokens": tokens})
            for body, tokens in zip(encode_rows(outputs.vectors), outputs.tokens, strict=True)
        ]

    def compared(self, outputs: Embedded) -> list[torch.Tensor]:
        """Return each vector."""
        return list(outputs.vectors.float())

    def samples(self, count: int) -> list[str]:
        """Return texts of mixed lengths."""
        return sample_texts(count)

    def details(self) -> dict[str, Any]:
        """Return how texts are batched, and their largest number of tokens."""
        with torch.inference_mode():
            vectors = [self.forward(one.batch).vectors for one in self.plan(self.samples(1))]
        return {
            "output": {"shape": list(vectors[0].shape[1:]), "dtype": "float32"},
            "batching": self.batching.name,
            "max_length": self._max_length,
            "hidden_size": self.model.config.hidden_size,
            "pooling": list(self._modules.poolings),
            "prompts": sorted(self._modules.prompts),
        }

    def _tokenized(self, texts: Sequence[str], longest: int | None = None) -> list[Tokens]:
        lower = self._modules.lower_case
        tokens = self._tokenizer(
            [text.lower() for text in texts] if lower else list(texts),
            truncation=True,
            max_length=min(self._max_length, longest or self._max_length),
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        return list(tokens["input_ids"])
