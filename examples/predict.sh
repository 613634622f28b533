#!/usr/bin/env bash
# Predictions, speech and a transcription with curl.  Usage: examples/predict.sh [ADDRESS]
set -euo pipefail
server="${1:-http://localhost:8000}"
folder="$(mktemp -d)"
trap 'rm -r "$folder"' EXIT
ask() { curl --silent --show-error --fail-with-body "$@"; }

echo "One input:"
ask "$server/predict" -d '{"model_name": "example", "inputs": [1, 2, 3, 4, 5]}'
echo
echo "A batch:"
ask "$server/predict" -d '{"model_name": "example", "inputs": [[1, 2, 3], [4, 5, 6]]}'
echo
echo "A text, spoken and heard again:"
ask "$server/synthesize" -H "Accept: audio/wav" -d '{"text": "Hello. This is how I sound."}' -o "$folder/hello.wav"
ask "$server/transcribe" -F "file=@$folder/hello.wav" -F response_format=text
