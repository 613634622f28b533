"""MiniLM with transformers in a loop: texts sorted by length, 32 at a time, in bf16."""

import sys

import torch
from line_by_line import serve  # type: ignore[import-not-found, unused-ignore]
from transformers import AutoModel, AutoTokenizer

BATCH = 32
LONGEST = 256  # tokens


def main(folder: str) -> None:
    """Serve vectors; *folder* holds the checkpoint."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, dtype=torch.bfloat16).eval()

    @torch.inference_mode()
    def embed(texts: list[str]) -> list[list[float]]:
        places = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        vectors: list[list[float]] = [[]] * len(texts)
        for start in range(0, len(places), BATCH):
            now = places[start : start + BATCH]
            tokens = tokenizer(
                [texts[place] for place in now],
                padding=True,
                truncation=True,
                max_length=LONGEST,
                return_tensors="pt",
            )
            states = model(**tokens).last_hidden_state.float()
            mask = tokens["attention_mask"][..., None]
            mean = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1))
            for place, vector in zip(now, mean.tolist(), strict=True):
                vectors[place] = vector
        return vectors

    serve(embed)


if __name__ == "__main__":
    main(sys.argv[1])
