# TorchServe and the sidecar in one image: docs/operations.md, "The image".
#   docker build -t torchserve-sidecar .
#   docker run --rm --read-only --tmpfs /tmp:exec,size=1g -p 127.0.0.1:8000:8000 -v sidecar-state:/app/var torchserve-sidecar
# Build arguments:
#   BASE              the image to start from: Debian or Ubuntu, with Python 3.11 to 3.13
#   TORCH_INDEX_URL   the index of torch's CPU or CUDA build; without it pip's own choice, on Linux CUDA
#   COMPILER          "g++" (on a base without Python's headers "g++ python3-dev") puts in what
#                     torch.compile needs; without it models run as they are
#   REVISION          the commit, for the image's label
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG TORCH_INDEX_URL=""
ENV PIP_NO_CACHE_DIR=1
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /app

# The environment first: it changes seldom, and the layer is large.
COPY requirements requirements
COPY scripts/environment scripts/environment
COPY sidecar/__init__.py sidecar/__init__.py
COPY sidecar/torchserve/__init__.py sidecar/torchserve/java.py sidecar/torchserve/
RUN . scripts/environment

COPY . .
RUN .venv/bin/python -m sidecar.archives \
    && rm -rf var \
    && .venv/bin/python -m compileall -q sidecar handlers \
    && chmod -R u=rwX,go=rX /app \
    && install --directory --owner=10001 --group=10001 --mode=0700 var


FROM ${BASE}
ARG COMPILER=""
# The versions are the distribution's own, with its security updates; COMPILER may be several words.
# hadolint ignore=DL3008,SC2086
RUN if [ -n "${COMPILER}" ]; then \
        apt-get update \
        && apt-get install -y --no-install-recommends ${COMPILER} \
        && rm -rf /var/lib/apt/lists/*; \
    fi \
    && useradd --uid 10001 --home-dir /app/var --no-create-home app

COPY --from=build /app /app

ARG REVISION=""
LABEL org.opencontainers.image.title="torchserve-sidecar" \
      org.opencontainers.image.description="An inference and speech server: TorchServe behind one HTTP API" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"

# Everything but /app/var and /tmp may be read-only.  What is downloaded becomes an archive in
# /app/var, beside links to the archives of the image.
ENV PYTHONDONTWRITEBYTECODE=1 \
    SIDECAR_MODEL_STORE=/app/var/model_store \
    SIDECAR_HOST=0.0.0.0
WORKDIR /app
USER 10001
VOLUME /app/var
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD [".venv/bin/python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ.get('SIDECAR_PORT', 8000)}/livez\", timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["scripts/serve_image"]
