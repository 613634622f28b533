# TorchServe and the sidecar in one image.  Build: docker build -t torchserve-sidecar .
# Run:   docker run --rm -p 8000:8000 -v sidecar-state:/app/var torchserve-sidecar
# TORCH_INDEX_URL chooses torch's build (CPU or CUDA); README.md says how.
FROM python:3.11-slim-bookworm

ARG TORCH_INDEX_URL=""
ENV PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    TORCH_INDEX_URL=${TORCH_INDEX_URL}

RUN useradd --create-home --uid 10001 app && mkdir /app && chown app /app
USER 10001
WORKDIR /app

# The environment first: it changes seldom, and the layer is large.
COPY --chown=app requirements requirements
COPY --chown=app scripts/environment scripts/environment
COPY --chown=app sidecar/__init__.py sidecar/__init__.py
COPY --chown=app sidecar/torchserve/__init__.py sidecar/torchserve/java.py sidecar/torchserve/
RUN bash -c '. scripts/environment'

COPY --chown=app . .
RUN scripts/build_archives && rm -rf var && mkdir var

VOLUME /app/var
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s \
    CMD [".venv/bin/python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["scripts/serve", "--host", "0.0.0.0"]
