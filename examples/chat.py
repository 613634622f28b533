"""A chat that is streamed with OpenAI's client, and documents that are ranked with Cohere's.

Usage: examples/chat.py [ADDRESS [WRITER [RANKER]]], where the last two are models that are here:
scripts/models download smollm2_135m && scripts/models download ms_marco_minilm
"""

import sys

import cohere
from openai import OpenAI

GIVEN = dict(enumerate(sys.argv))
SERVER = GIVEN.get(1, "http://localhost:8000")
WRITER, RANKER = GIVEN.get(2, "smollm2_135m"), GIVEN.get(3, "ms_marco_minilm")

openai = OpenAI(base_url=f"{SERVER}/v1", api_key="none")  # any, where no credential is needed
stream = openai.chat.completions.create(
    model=WRITER,
    messages=[{"role": "user", "content": "Which animals live near rivers?"}],
    max_completion_tokens=20,
    temperature=0.7,
    seed=1,
    stream=True,
)
for chunk in stream:
    print(chunk.choices[0].delta.content or "", end="", flush=True)
print()

documents = ["The fox is quick.", "Otters live near rivers.", "Coffee is brewed every morning."]
ranked = cohere.ClientV2(base_url=SERVER, api_key="none").rerank(
    model=RANKER, query="Which animals live near rivers?", documents=documents, top_n=2
)
for result in ranked.results:
    print(f"{result.relevance_score:.3f}  {documents[result.index]}")
