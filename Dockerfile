# One image for workers, commands and (target `sandbox`) Stripe's stand-in.
# docker build --target worker -t tiffin .

FROM python:3.12-slim AS build
COPY --from=ghcr.io/astral-sh/uv:0.9 /uv /usr/local/bin/uv
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
WORKDIR /app
COPY pyproject.toml uv.lock ./
RUN uv sync --locked --no-default-groups

FROM python:3.12-slim AS base
RUN useradd --system --uid 10001 --home-dir /app tiffin \
    && install -d -o tiffin -g tiffin /app /var/lib/tiffin
WORKDIR /app
COPY --from=build /app/.venv /app/.venv
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY models models
COPY app app

FROM base AS sandbox
COPY sandbox sandbox
RUN python -m compileall -q models app sandbox
USER tiffin
ENTRYPOINT ["python", "-m"]
CMD ["sandbox.stripe", "--help"]

FROM base AS worker
COPY tables tables
COPY agents agents
COPY web web
# Operations shows the runbooks, and the documents that they lead to.
COPY docs/runbooks docs/runbooks
COPY docs/operations.md docs/stripe.md docs/
# Else every start compiles two hundred files: nothing may write beside them later.
RUN python -m compileall -q models app tables agents web
USER tiffin
ENV TIFFIN_DATA_DIR=/var/lib/tiffin TIFFIN_WEB_HOST=0.0.0.0 TIFFIN_WEB_PORT=6066 TIFFIN_LOG_FORMAT=json
VOLUME /var/lib/tiffin
EXPOSE 6066
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:6066/livez', timeout=2)"]
ENTRYPOINT ["python", "-m", "faust", "-A", "app"]
CMD ["worker", "--loglevel", "warn"]
