# An image's list of what is installed in it, as CycloneDX (`make sbom`): the image, and beside it what reads it.
# The reader is found by this one command alone, so that the list is the image's and not the reader's.
ARG IMAGE
FROM ${IMAGE}
USER 0
RUN python -m pip install --quiet --no-cache-dir --root-user-action=ignore --target /opt/sbom "cyclonedx-bom==7.5.0"
USER 10001:10001
ENTRYPOINT ["python", "-c", "import sys; sys.path.append('/opt/sbom'); from cyclonedx_py._internal.cli import run; sys.argv[1:] = ['environment', '--output-reproducible', sys.executable]; sys.exit(run(prog='cyclonedx-py'))"]
