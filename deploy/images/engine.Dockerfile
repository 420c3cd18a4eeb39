# The engine, and whatever else needs the model (build, eval, recommend): PyTorch on the CPU.
# Build from the repository's root: docker build -f deploy/images/engine.Dockerfile -t rankgr-engine .
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS requirements
WORKDIR /src
COPY pyproject.toml deploy/images/requirements.py ./
RUN python requirements.py model < pyproject.toml > /requirements.txt

FROM ${BASE_IMAGE} AS dependencies
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
ARG TORCH=torch==2.13.0+cpu
# PyTorch publishes its CPU builds on an index of its own; it is asked only where pip finds none by itself.
ARG TORCH_CPU_INDEX=https://download.pytorch.org/whl/cpu
RUN python -m venv --without-pip /opt/dependencies \
 && { python -m pip --python /opt/dependencies/bin/python install "${TORCH}" \
   || python -m pip --python /opt/dependencies/bin/python install --index-url "${TORCH_CPU_INDEX}" "${TORCH}"; }
COPY --from=requirements /requirements.txt /requirements.txt
RUN python -m pip --python /opt/dependencies/bin/python install --requirement /requirements.txt

FROM dependencies AS code
WORKDIR /src
COPY . .
RUN python -m pip --python /opt/dependencies/bin/python install --no-deps --target /opt/rankgr .

FROM ${BASE_IMAGE}
# A fixed number, so that a volume's files keep their owner from one image to the next.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin rankgr \
 && install --directory --owner rankgr --group rankgr /bundles
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
