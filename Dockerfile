# One image for all of Baton's processes: `docker run baton worker`, `… dispatcher`, `… api`, `… migrate`.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    VIRTUAL_ENV=/opt/baton \
    PATH=/opt/baton/bin:$PATH

RUN useradd --system --create-home --shell /usr/sbin/nologin baton \
    && python -m venv /opt/baton

WORKDIR /srv/baton

# The dependencies change less often than the code: a layer of their own, and nothing the lock has no hash of.
COPY requirements.lock ./
RUN pip install --require-hashes -r requirements.lock

COPY pyproject.toml README.md LICENSE ./
COPY domain domain
COPY workflows workflows
COPY activities activities
COPY storage storage
COPY channels channels
COPY intelligence intelligence
COPY api api
COPY workers workers
COPY simulator simulator
RUN pip install --no-deps --no-build-isolation --editable . \
    && python -m compileall -q domain workflows activities storage channels intelligence api workers

USER baton
ENTRYPOINT ["baton"]
CMD ["--help"]
