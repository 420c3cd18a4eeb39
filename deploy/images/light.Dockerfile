# trigger, history, precompute, retrieval, samples and console: the catalogue's readers, no torch.
# Build from the repository's root: docker build -f deploy/images/light.Dockerfile -t rankgr-light .
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS requirements
WORKDIR /src
COPY pyproject.toml deploy/images/requirements.py ./
RUN python requirements.py catalog < pyproject.toml > /requirements.txt

FROM ${BASE_IMAGE} AS dependencies
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv --without-pip /opt/dependencies
COPY --from=requirements /requirements.txt /requirements.txt
RUN python -m pip --python /opt/dependencies/bin/python install --requirement /requirements.txt

FROM dependencies AS code
WORKDIR /src
COPY . .
RUN python -m pip --python /opt/dependencies/bin/python install --no-deps --target /opt/rankgr .

FROM ${BASE_IMAGE}
# A fixed number, so that a volume's files keep their owner from one image to the next.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin rankgr \
 && install --directory --owner rankgr --group rankgr /bundles /state
COPY --from=dependencies /opt/dependencies /opt/dependencies
COPY --from=code /opt/rankgr /opt/rankgr
COPY deploy/images/ready.py /opt/ready.py
ENV PATH=/opt/rankgr/bin:/opt/dependencies/bin:$PATH \
    PYTHONPATH=/opt/rankgr \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /tmp
ENTRYPOINT ["rankgr"]
CMD ["--help"]
