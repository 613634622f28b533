"""MiniLM with transformers in a loop: `python bare_embedder.py FOLDER DTYPE BATCH`.

The texts of a question are sorted by length, and run BATCH at a time.
"""

import sys
from collections.abc import Iterator

import torch
from line_by_line import serve
from transformers import AutoModel, AutoTokenizer

LONGEST = 256  # tokens


def main(folder: str, dtype: str, batch: int) -> None:
    """Serve vectors; *folder* holds the checkpoint."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()

    @torch.inference_mode()
    def vectors(texts: list[str]) -> list[list[float]]:
        tokens = tokenizer(
            texts, padding=True, truncation=True, max_length=LONGEST, return_tensors="pt"
        )
        states = model(**tokens).last_hidden_state.float()
        mask = tokens["attention_mask"][..., None]
        mean = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1))
        found: list[list[float]] = mean.tolist()
        return found

    def embed(texts: list[str]) -> Iterator[tuple[int, list[float]]]:
        places = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        for start in range(0, len(places), batch):
            now = places[start : start + batch]
            yield from zip(now, vectors([texts[place] for place in now]), strict=True)

    serve(embed)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
